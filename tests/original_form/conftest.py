"""The files are loaded as a student's, not imported by pytest."""

collect_ignore = ["common.py", "one_stage_detector.py", "two_stage_detector.py"]
