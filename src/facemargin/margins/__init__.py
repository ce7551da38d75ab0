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


def __getattr__(name: str) -> type[MarginConfig]:
    """The configuration of a registered margin by its own name: `FunFaceConfig`."""
    for margin in list_margins() if name.endswith("Config") else []:
        if margin_class(margin).Config.__name__ == name:
            return margin_class(margin).Config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
