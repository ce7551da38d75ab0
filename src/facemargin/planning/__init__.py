"""Planning: what a training would cost in memory, exchanges and time, without running it."""
