"""The pages that people read: a student's feedback, the instructor's class."""
