"""The instructor's side: the student release, made and proven."""
