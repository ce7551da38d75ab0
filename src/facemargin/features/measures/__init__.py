"""Measures of an image's quality by name: those of a model's embeddings, and those that look at its network or at the
picture alone."""

from facemargin.features.measures.measure import (
    MEASURES,
    Measure,
    finite_qualities,
    list_measures,
    make_measure,
    measure_quality,
    register_measure,
)

__all__ = [
    "MEASURES",
    "Measure",
    "finite_qualities",
    "list_measures",
    "make_measure",
    "measure_quality",
    "register_measure",
]
