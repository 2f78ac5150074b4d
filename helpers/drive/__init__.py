"""A student's work on Google Drive, in every version."""
