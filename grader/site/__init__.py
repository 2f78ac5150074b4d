"""The notebooks as pages to look at, for any static host."""
