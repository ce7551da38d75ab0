"""The output of a recogniser for images. Shapes: N images, D embedding size."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.source import ImageSource


@dataclass(frozen=True, repr=False)
class Embeddings:
    """`vectors` (N, D) of unit length, `norms` (N,) of the features before normalisation, and `quality` (N,), higher is
    better. The quality is the norm, unless the model has a quality head.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> found = fm.evaluation.Embeddings(np.eye(2, dtype=np.float32), np.float32([20, 5]), np.float32([20, 5]))
        >>> found.vectors.shape, int(found.quality.argmin())
        ((2, 2), 1)
        >>> found
        Embeddings(2 vectors of 2 values, quality 5 to 20)
    """

    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    quality: NDArray[np.float32]

    def __repr__(self) -> str:
        vectors = f"{counted(len(self.vectors), 'vector')} of {self.vectors.shape[-1]} values"
        if not len(self.quality):
            return f"Embeddings({vectors})"
        return f"Embeddings({vectors}, quality {self.quality.min():.4g} to {self.quality.max():.4g})"

    def __len__(self) -> int:
        return len(self.vectors)


Embed = Callable[[ImageSource], Embeddings]
"""The type of a recogniser for evaluations: a function that returns the embeddings of all images of a source, in
order."""


def embed_once(embed: Embed) -> Embed:
    """`embed`, which embeds a source that it is given several times in a row, as by several measures of quality, only
    once."""
    last: list[tuple[ImageSource, Embeddings]] = []

    def remembering(images: ImageSource) -> Embeddings:
        if not last or last[0][0] is not images:
            last[:] = [(images, embed(images))]
        return last[0][1]

    return remembering
