"""What a recogniser says about images. Shapes: N images, D embedding size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Embeddings:
    """`vectors` (N, D) of unit length, `norms` (N,) of the features before normalisation, `quality` (N,), higher is
    better: the norm unless the model has a quality head."""

    vectors: NDArray[np.float32]
    norms: NDArray[np.float32]
    quality: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.vectors)
