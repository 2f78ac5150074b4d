"""The instructor's side: the students' version, and grades from a sandbox."""

from data_scripts.command import end_quietly_until_main

end_quietly_until_main()
