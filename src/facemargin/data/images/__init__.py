"""Image files: their format, their size, and their pixels."""
