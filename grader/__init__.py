"""The instructor's side: the students' version, and grades from a sandbox."""

from core.command import end_quietly_until_main

end_quietly_until_main()
