"""Images and their true boxes, from the disk to the network's input."""
