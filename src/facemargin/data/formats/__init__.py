"""The formats of training sets, one reader per file."""
