"""Margins: one paper a file. Importing this package registers them all."""

from facemargin.margins import adaface, arcface, combined, cosface, funface, magface, normface
from facemargin.margins.base import (
    HardNegatives,
    Margin,
    MarginConfig,
    SoftmaxTerms,
    create_margin,
    list_margins,
    margin_class,
    register_margin,
)
from facemargin.margins.certainty_ratio import certainty_ratio

__all__ = [
    "HardNegatives",
    "Margin",
    "MarginConfig",
    "SoftmaxTerms",
    "adaface",
    "arcface",
    "certainty_ratio",
    "combined",
    "cosface",
    "create_margin",
    "funface",
    "list_margins",
    "magface",
    "margin_class",
    "normface",
    "register_margin",
]
