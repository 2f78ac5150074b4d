"""The visible checks: what students may run and read, and graders run too."""
