"""Measurements of speed and quality; each file is one command and writes one JSON."""

from core.command import end_quietly_until_main

end_quietly_until_main()
