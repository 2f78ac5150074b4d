"""What both sides of the sandbox's border know: messages and limits."""
