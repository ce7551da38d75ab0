"""Reading files that may come from anybody, and writing files that appear whole or not at all."""
