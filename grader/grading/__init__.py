"""A grading run: limits measured, submissions graded, results and pages written."""
