"""Face recognition that knows how good its pictures are."""

from facemargin import evaluation
from facemargin.backbones import create_backbone, list_backbones
from facemargin.heads import Head, HeadOutput, create_head, softmax_terms
from facemargin.inference import Calibration, Model, align, calibrate, detect, export_onnx, load, verify
from facemargin.interop import load_head
from facemargin.margins import list_margins
from facemargin.version import __version__

__all__ = [
    "Calibration",
    "Head",
    "HeadOutput",
    "Model",
    "__version__",
    "align",
    "calibrate",
    "create_backbone",
    "create_head",
    "detect",
    "evaluation",
    "export_onnx",
    "list_backbones",
    "list_margins",
    "load",
    "load_head",
    "softmax_terms",
    "verify",
]
