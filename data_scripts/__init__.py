"""Make, fetch, check and convert data sets; imports core/ alone."""

from core.command import end_quietly_until_main

end_quietly_until_main()
