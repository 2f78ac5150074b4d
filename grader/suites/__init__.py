"""The suites of tests: run, given references, and tested with wrong solutions."""
