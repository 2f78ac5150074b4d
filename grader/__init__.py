"""The instructor's side: the students' version, and grades from a sandbox."""
