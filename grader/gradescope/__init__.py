"""The zip for Gradescope, and what it runs there."""
