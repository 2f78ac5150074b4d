"""Make, fetch, check and convert data sets; imports nothing from the other folders."""

from data_scripts.command import end_quietly_until_main

end_quietly_until_main()
