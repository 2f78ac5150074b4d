"""Make, fetch, check and convert data sets; imports nothing from the other folders."""

from core.command import end_quietly_until_main

end_quietly_until_main()
