"""Heads: the class centres and the B×C work."""

from facemargin.heads.head import Head, HeadOutput, create_head
from facemargin.heads.softmax_terms import softmax_terms

__all__ = ["Head", "HeadOutput", "create_head", "softmax_terms"]
