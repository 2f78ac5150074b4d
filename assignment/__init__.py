"""The detector that you build; every exercise of the course is in this folder."""
