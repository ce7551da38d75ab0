"""The measures of quality that are asked for by name, of images that have been embedded. Shapes: N images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from facemargin.commands._embedding import EmbeddedImages
from facemargin.commands._progress import embedding_progress
from facemargin.data.source import ImageSubset
from facemargin.errors import ConfigError
from facemargin.features.measures import MEASURES, finite_qualities
from facemargin.features.measures.measure import with_progress

Measured = dict[str, NDArray[np.float32]]
"""The qualities (N,) by each measure."""


def require_measures(names: Sequence[str]) -> None:
    """Raise ConfigError for an unknown measure, and for one that is named twice, before a model is loaded."""
    for name in names:
        MEASURES[name.partition(":")[0]]
        if names.count(name) > 1:
            raise ConfigError(f"--measure contains {name} twice: give it once")


def measure_embedded(embedded: EmbeddedImages) -> Measured:
    """The qualities of the readable images by every measure that was asked for. Those that need more than embeddings
    read the images again."""
    images = ImageSubset(embedded.source, embedded.indices)
    measured: Measured = {}
    for name, measure in embedded.measures.items():
        with embedding_progress(Console(stderr=True), images.name, f"measuring {name} of") as progress:
            quality_N = measure(with_progress(images, progress), lambda _: embedded.embeddings)
        measured[name] = finite_qualities(quality_N, images, name)
    return measured
