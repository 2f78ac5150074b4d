"""The students' version: solutions cut out, searched for leaks, and tried out."""
