"""Faces with their quality, which a report shows from worst to best. Shapes: N images, H × W pixels, C = 3 (RGB)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError
from facemargin.files.npz import load_arrays


@dataclass(frozen=True)
class FaceGallery:
    """`images_NHWC` uint8 RGB, `quality_N` (higher is better) by the `measure`, which is empty for the model's own, one
    caption per image, and the credit line that the owner of the images requires. Raises DataError if their sizes do not
    match."""

    images_NHWC: NDArray[np.uint8]
    quality_N: NDArray[np.float64]
    captions: list[str]
    credit: str
    measure: str = ""

    def __post_init__(self) -> None:
        shape = self.images_NHWC.shape
        if self.images_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape[1:]:
            raise DataError(f"gallery images are {self.images_NHWC.dtype} {shape}, expected uint8 (N, H, W, 3)")
        if self.quality_N.shape != shape[:1] or len(self.captions) != shape[0]:
            raise DataError(
                f"a gallery of {shape[0]} images has qualities of shape {self.quality_N.shape} and "
                f"{len(self.captions)} captions; expected one of each per image"
            )
        if not isinstance(self.measure, str):
            raise DataError(f"the measure of a gallery is {self.measure!r}, expected its name")
        if not np.isfinite(self.quality_N).all():
            raise DataError(f"the quality of image {int(np.argmin(np.isfinite(self.quality_N)))} is not finite")

    def extremes(self, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Indices of up to `count` images with the lowest qualities, ascending, and with the highest, descending. No
        image is in both."""
        order = np.argsort(self.quality_N, kind="stable")
        lowest = order[: min(count, (len(order) + 1) // 2)]
        return lowest, order[len(lowest) :][::-1][:count]

    def save(self, path: Path) -> None:
        """Write to an .npz file that `load` reads back; it contains plain arrays and no pickles."""
        text = json.dumps({"captions": self.captions, "credit": self.credit, "measure": self.measure})
        with path.open("wb") as file:
            np.savez_compressed(file, images_NHWC=self.images_NHWC, quality_N=self.quality_N, text=np.array(text))

    @classmethod
    def load(cls, path: Path) -> "FaceGallery":
        """Read a file written by `save`. Raises DataError, which names the file, for any other file."""
        try:
            arrays = load_arrays(path)
            text = json.loads(str(arrays["text"]))
            return cls(
                arrays["images_NHWC"], arrays["quality_N"], text["captions"], text["credit"], text.get("measure", "")
            )
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(f"{path} is not a gallery of faces: {error}") from error
