"""The formats that training sets have, one reader a file."""
