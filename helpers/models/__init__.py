"""The one door to assignment/: builds, loads and runs a detector."""
