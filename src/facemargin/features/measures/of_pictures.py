"""Measures that look at the picture alone. Shapes: N images."""

import numpy as np

from facemargin.features.measures.measure import Measure, register_measure
from facemargin.models.model import Model
from facemargin.quality.image_statistics import image_statistics


@register_measure("image-statistics", description="sharpness, noise and light: smallest margin to the gate's limits")
def statistics(_: Model) -> Measure:
    """`ImageStatistics.quality()` of aligned faces: below 0 if the gate refuses them. It is the same for every
    model."""
    return lambda images, _: np.array([image_statistics(images.read(index)).quality() for index in range(len(images))])
