"""Embeddings and qualities in files, of this library and of other tools."""
