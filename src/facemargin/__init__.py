"""Face recognition that knows how good its pictures are."""

from facemargin import evaluation
from facemargin.backbones import create_backbone, list_backbones
from facemargin.heads import Head, HeadOutput, create_head, softmax_terms
from facemargin.inference import Model, load
from facemargin.margins import list_margins
from facemargin.version import __version__

__all__ = [
    "Head",
    "HeadOutput",
    "Model",
    "__version__",
    "create_backbone",
    "create_head",
    "evaluation",
    "list_backbones",
    "list_margins",
    "load",
    "softmax_terms",
]
