"""Files with embeddings and qualities, of this library and of other tools."""
