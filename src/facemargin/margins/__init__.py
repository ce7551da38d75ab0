"""Margins: one paper a file, each registered under its name."""

from facemargin.margins.base import (
    ConstantScaleConfig,
    ConstantScaleMargin,
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
    "ConstantScaleConfig",
    "ConstantScaleMargin",
    "HardNegatives",
    "Margin",
    "MarginConfig",
    "SoftmaxTerms",
    "certainty_ratio",
    "create_margin",
    "list_margins",
    "margin_class",
    "register_margin",
]
