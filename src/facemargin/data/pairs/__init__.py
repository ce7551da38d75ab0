"""Verification sets, which define the pairs of images to compare, and readers of all their formats."""
