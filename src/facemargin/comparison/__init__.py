"""Heads trained alike and compared."""
