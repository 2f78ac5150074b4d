"""The walls around the worker: bubblewrap, or a user of its own."""
