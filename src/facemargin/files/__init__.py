"""Reading files that may come from anybody, and writing files completely or not at all."""
