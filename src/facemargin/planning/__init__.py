"""Planning: the memory, exchanges and time that a training would need, computed without running it."""
