"""Traffic of our own making and the servers that a demo needs."""
