"""Margins: one paper a file. Importing this package registers them all."""

from facemargin.margins import (
    adaface,
    arcface,
    combined,
    cosface,
    curricularface,
    elasticface,
    funface,
    magface,
    mv_softmax,
    normface,
    sphereface,
)
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
    "adaface",
    "arcface",
    "certainty_ratio",
    "combined",
    "cosface",
    "create_margin",
    "curricularface",
    "elasticface",
    "funface",
    "list_margins",
    "magface",
    "margin_class",
    "mv_softmax",
    "normface",
    "register_margin",
    "sphereface",
]
