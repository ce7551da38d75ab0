"""Comparing heads that were trained with the same recipe."""
