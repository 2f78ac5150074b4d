"""What runs inside the sandbox, around a student's code; it holds no answers."""
