"""The output of a recogniser for images. Shapes: N images, D embedding size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource


@dataclass(frozen=True)
class Embeddings:
    """`vectors` (N, D) of unit length, `norms` (N,) of the features before normalisation, and `quality` (N,), higher is
    better. The quality is the norm, unless the model has a quality head."""

    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    quality: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vectors)


Embed = Callable[[ImageSource], Embeddings]
"""The type of a recogniser for evaluations: a function that returns the embeddings of all images of a source, in
order."""
