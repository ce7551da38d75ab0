"""Heads: the class centres and the B×C work."""

from facemargin.heads.broadface import BroadFaceConfig
from facemargin.heads.create import create_head
from facemargin.heads.head import Head
from facemargin.heads.options import HeadOptions
from facemargin.heads.output import HeadOutput
from facemargin.heads.row_optimizer import RowSGD
from facemargin.heads.softmax_terms import softmax_terms
from facemargin.heads.vpl import VPLConfig

__all__ = [
    "BroadFaceConfig",
    "Head",
    "HeadOptions",
    "HeadOutput",
    "RowSGD",
    "VPLConfig",
    "create_head",
    "softmax_terms",
]
