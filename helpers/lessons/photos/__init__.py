"""Freely licensed photographs, and what a detector found in them."""
