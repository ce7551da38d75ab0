"""Image files: what kind they are, how large, and their pixels."""
