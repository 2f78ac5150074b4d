"""nbgrader for release, gradebook and feedback; its marks come from the sandbox."""
