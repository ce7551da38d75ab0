"""InsightFace verification sets: a `.bin` file is a pickle of (encoded images, whether each pair shows the same
person).

Shapes: K pairs; pair k is images 2k and 2k+1 of the file.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.data_format import Location
from facemargin.data.images.decode import decode_image
from facemargin.data.pairs.pair_format import register_pair_format
from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import DataError
from facemargin.files.pickled_numpy import NUMPY, PickledArray
from facemargin.files.pickles import load_inert

# Bytes of memory that a file may ask for. An image as a numpy array takes some 30 operations.
_FREE_MEMORY, _TIMES_THE_FILE = 8 << 20, 8


class EncodedImages(ImageSource):
    """Encoded images in memory, which are decoded when they are read. `numbers` are their names in messages, by default
    0, 1, …"""

    threadsafe = True

    def __init__(self, encoded: list[bytes], name: str, numbers: Sequence[int] | None = None) -> None:
        self.name = name
        self._encoded = encoded
        self._numbers = range(len(encoded)) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._encoded)

    def read(self, index: int) -> RGBImage:
        return decode_image(self._encoded[index], self.describe(index))

    def read_encoded(self, index: int) -> bytes:
        return self._encoded[index]

    def describe(self, index: int) -> str:
        return f"{self.name} image {self._numbers[index]}"


def load_bin(path: Path | str) -> VerificationSet:
    """The verification set in a `.bin` file written by Python 2 or 3, with ten contiguous folds.

    An image that the file stores once for several pairs is one image of the set. Nothing in the file is executed.
    Raises DataError, which names the file, if it is missing or truncated, or has anything else than images and truth
    values.
    """
    path = Path(path)
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file; expected an InsightFace .bin file")
    try:
        content = _unpickled(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DataError(f"{path} is not an InsightFace .bin file, or it is damaged: {error}") from error
    stored, same_K = _checked(content, path)
    first_use: dict[int, int] = {}
    for number, image in enumerate(stored):
        first_use.setdefault(id(image), number)
    index = {identity: position for position, identity in enumerate(first_use)}
    images_2K = np.array([index[id(image)] for image in stored], dtype=np.int64)
    return VerificationSet(
        name=path.stem,
        images=EncodedImages(
            [_encoded(stored[number], path, number) for number in first_use.values()],
            str(path),
            list(first_use.values()),
        ),
        first_K=images_2K[0::2],
        second_K=images_2K[1::2],
        same_K=same_K,
        folds_K=contiguous_folds(len(same_K)),
    )


def _unpickled(content: bytes) -> object:
    """Texts of Python 2 are bytes, numpy's truth values bool, its strings bytes, its integers `numpy.int64`, its arrays
    `PickledArray`."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"it refers to {name}, which no .bin file needs")

    most_memory = _FREE_MEMORY + _TIMES_THE_FILE * len(content)
    return load_inert(io.BytesIO(content), NUMPY, stranger=refuse, encoding="bytes", most_memory=most_memory)


def _checked(content: Any, path: Path) -> tuple[list[Any], NDArray[np.bool_]]:
    """The stored images and the truth values (K,). Raises DataError unless they have the types of the format."""
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise DataError(f"{path}: contains a {type(content).__name__}, expected (list of images, list of truth values)")
    try:
        images, same = (part.values() if isinstance(part, PickledArray) else part for part in content)
    except Exception as error:
        raise DataError(f"{path}: {error}") from error
    if not isinstance(images, list) or not isinstance(same, list | np.ndarray):
        raise DataError(
            f"{path}: contains {type(content[0]).__name__} and {type(content[1]).__name__}, expected a list of "
            "encoded images and a list of truth values"
        )
    if not all(isinstance(value, bool | np.bool_ | np.integer) and value in (0, 1) for value in same):
        raise DataError(f"{path}: expected a list of encoded images (bytes) and one of truth values (bool)")
    if len(images) != 2 * len(same) or len(same) == 0:
        raise DataError(
            f"{path}: {counted(len(images), 'image')} for {counted(len(same), 'pair')}; expected two images per pair"
        )
    return images, np.array(same, dtype=np.bool_)


def _encoded(image: object, path: Path, number: int) -> bytes:
    """The bytes of an image that is stored as bytes or as an array of bytes."""
    if isinstance(image, PickledArray):
        image = image.values()
        if isinstance(image, np.ndarray) and image.dtype == np.uint8:
            return image.tobytes()
    if not isinstance(image, bytes):
        raise DataError(
            f"{path} image {number}: holds {type(image).__name__}, expected encoded images (bytes, or uint8 arrays)"
        )
    return image


@register_pair_format("bin", "a .bin file of InsightFace", order=10)
def _open(at: Location) -> VerificationSet | None:
    return load_bin(at.path) if at.path is not None and at.path.suffix == ".bin" else None
