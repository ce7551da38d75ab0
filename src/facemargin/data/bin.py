"""InsightFace verification sets: a `.bin` file is a pickle of (encoded images, whether each pair shows one person).

Shapes: K pairs; pair k is images 2k and 2k+1.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facemargin.data.decode import decode_image
from facemargin.data.source import ImageSource, RGBImage
from facemargin.data.verification import VerificationSet, contiguous_folds
from facemargin.errors import DataError


class EncodedImages(ImageSource):
    """Encoded images held in memory, decoded when read."""

    def __init__(self, encoded: list[bytes], name: str) -> None:
        self.name = name
        self._encoded = encoded

    def __len__(self) -> int:
        return len(self._encoded)

    def read(self, index: int) -> RGBImage:
        return decode_image(self._encoded[index], self.describe(index))

    def describe(self, index: int) -> str:
        return f"{self.name} image {index}"


def load_bin(path: Path | str) -> VerificationSet:
    """The verification set in a `.bin` file written by Python 2 or 3, with ten contiguous folds.

    Nothing in the file is executed. Raises DataError, naming the file, where it is missing, truncated, or holds
    anything but images and truth values.
    """
    path = Path(path)
    try:
        content = _BinUnpickler(io.BytesIO(path.read_bytes()), encoding="bytes").load()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a damaged pickle can fail in any way at all, and none of them is worth a traceback
        raise DataError(f"{path} is not an InsightFace .bin file, or it is damaged: {error}") from error
    encoded, same = _checked(content, path)
    same_K = np.array(same, dtype=np.bool_)
    first_K = np.arange(0, len(encoded), 2, dtype=np.int64)
    return VerificationSet(
        name=path.stem,
        images=EncodedImages(encoded, str(path)),
        first_K=first_K,
        second_K=first_K + 1,
        same_K=same_K,
        folds_K=contiguous_folds(len(same_K)),
    )


def _checked(content: Any, path: Path) -> tuple[list[bytes], list[bool]]:
    """The two lists in an unpickled file, raising DataError unless they are what the format says."""
    if not (isinstance(content, tuple | list) and len(content) == 2 and all(isinstance(x, list) for x in content)):
        raise DataError(f"{path}: holds a {type(content).__name__}, expected (list of images, list of truth values)")
    encoded, same = content
    if not all(isinstance(image, bytes) for image in encoded) or not all(isinstance(value, bool) for value in same):
        raise DataError(f"{path}: expected a list of encoded images (bytes) and one of truth values (bool)")
    if len(encoded) != 2 * len(same) or not same:
        raise DataError(f"{path}: {len(encoded)} images for {len(same)} pairs; expected two images per pair")
    return encoded, same


class _BinUnpickler(pickle.Unpickler):
    """Admits containers, strings, numbers and truth values, and nothing else.

    The few names that real files refer to resolve to functions of this file made anew for each use, so that a pickle
    can neither call nor alter anything that exists.
    """

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        match module, name:
            case "_codecs", "encode":  # Python 3 bytes in pickle protocols 0 to 2
                return lambda text, encoding: _latin1_bytes(text, encoding)
            case "numpy", "dtype":
                return lambda code, align, copy: _BoolType(code)
            case "numpy.core.multiarray" | "numpy._core.multiarray", "scalar":
                return lambda dtype, data: _numpy_bool(dtype, data)
        raise pickle.UnpicklingError(f"it refers to {module}.{name}, which no .bin file needs")


class _BoolType:
    """Stands for numpy's bool type inside a pickle."""

    __slots__ = ()

    def __init__(self, code: str | bytes) -> None:
        if code not in ("b1", b"b1"):
            raise pickle.UnpicklingError(f"it holds numpy values of type {code!r}, expected truth values (b1)")

    def __setstate__(self, state: object) -> None:
        """A pickled type sets its byte order here; one byte has none."""


def _numpy_bool(dtype: Any, data: Any) -> bool:
    if not isinstance(dtype, _BoolType) or data not in (b"\0", b"\1"):
        raise pickle.UnpicklingError("it holds a numpy value that is not a truth value")
    return bool(data == b"\1")


def _latin1_bytes(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("it encodes text other than as latin1")
    return text.encode("latin1")
