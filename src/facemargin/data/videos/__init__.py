"""Video files: their container, and their frames."""
