"""Image files whose faces are aligned by known landmarks while they are read. Shapes: N images."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.alignment import TEMPLATE_52, align_face
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.source import RGBImage
from facemargin.errors import CorruptImageError, DataError


class AlignedFiles(ImageFiles):
    """The files `names` in the folder `root`, each aligned by its five points (x, y) in `landmarks_N52` to 112 × 112
    pixels.

    An image that cannot be aligned counts as an image that cannot be read.
    """

    def __init__(self, root: Path | str, names: Sequence[str], landmarks_N52: NDArray[np.float32]) -> None:
        super().__init__(root, names)
        if landmarks_N52.shape != (len(self), 5, 2):
            raise DataError(
                f"{root}: landmarks have shape {landmarks_N52.shape} for {counted(len(self), 'image')}, expected "
                "(images, 5, 2)"
            )
        self._landmarks_N52 = landmarks_N52

    def read(self, index: int) -> RGBImage:
        image = super().read(index)
        try:
            return align_face(image, self._landmarks_N52[index])
        except DataError as error:
            raise CorruptImageError(f"{self.describe(index)}: {error}") from error

    def alignment_key(self) -> str:
        """A fingerprint of the landmarks and of the template to which they are aligned."""
        return hashlib.sha256(self._landmarks_N52.tobytes() + TEMPLATE_52.tobytes()).hexdigest()
