"""Measurements of speed and quality; each file is one command and writes one JSON."""
