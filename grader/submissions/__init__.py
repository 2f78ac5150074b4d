"""What students hand in: found, named, and read with care."""
