"""Verification sets: which images are compared with which, in every format they come in."""
