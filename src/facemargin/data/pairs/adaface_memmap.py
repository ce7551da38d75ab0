"""AdaFace's verification sets: `NAME/memfile/mem_file.dat`, `mem_file.dat.conf` in the same folder, and `NAME_list.npy`
next to the folder NAME.

The .dat file is a raw array (2K, 3, H, W) of float32, BGR, normalised to −1..1; the .conf file has its shape and type
as JSON; the .npy file has K truth values. Pair k consists of images 2k and 2k+1. Shapes: K pairs, H × W pixels.
"""

import json
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.data_format import Location
from facemargin.data.pairs.pair_format import register_pair_format
from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import CorruptImageError, DataError
from facemargin.files.positioned_file import PositionedFile

DAT_FILE = Path("memfile", "mem_file.dat")
_LONGEST_CONF = 4096
_LONGEST_SIDE = 1024
_ROUNDING = 1e-3


class MemmapImages(ImageSource):
    """The images of a .dat file. Each is read with one positioned read."""

    threadsafe = True

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.name = str(path)
        self._shape = shape
        self._bytes_an_image = 4 * math.prod(shape[1:])
        self._file = PositionedFile(path)

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, index: int) -> RGBImage:
        content = self._file.read(index * self._bytes_an_image, self._bytes_an_image)
        if len(content) != self._bytes_an_image:
            raise CorruptImageError(f"{self.describe(index)}: the file ends inside this image")
        bgr_3HW = np.frombuffer(content, dtype="<f4").reshape(self._shape[1:])
        if not np.abs(bgr_3HW).max() <= 1 + _ROUNDING:  # this is also false for NaN
            raise CorruptImageError(
                f"{self.describe(index)}: values from {bgr_3HW.min():g} to {bgr_3HW.max():g}, expected −1 to 1"
            )
        gray_3HW = np.clip(np.rint((bgr_3HW * 0.5 + 0.5) * 255), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(gray_3HW[::-1].transpose(1, 2, 0))

    def describe(self, index: int) -> str:
        return f"{self.name} image {index}"


def load_adaface_memmap(folder: Path | str) -> VerificationSet:
    """The verification set in a folder NAME with memfile/mem_file.dat. It has ten contiguous folds; images are read on
    demand. Raises DataError for a file that is missing or does not fit the other files."""
    folder = Path(folder)
    path = folder / DAT_FILE
    shape = _shape(path)
    same_K = _same(folder.resolve().parent / f"{folder.resolve().name}_list.npy")
    if shape[0] != 2 * len(same_K) or len(same_K) == 0:
        raise DataError(
            f"{path}: {counted(shape[0], 'image')} for {counted(len(same_K), 'pair')}; expected two images per pair"
        )
    first_K = np.arange(0, shape[0], 2, dtype=np.int64)
    return VerificationSet(
        name=folder.resolve().name,
        images=MemmapImages(path, shape),
        first_K=first_K,
        second_K=first_K + 1,
        same_K=same_K,
        folds_K=contiguous_folds(len(same_K)),
    )


def _shape(path: Path) -> tuple[int, int, int, int]:
    """The shape of the .dat file according to the .conf file, checked against the file size."""
    conf_path = path.with_name(f"{path.name}.conf")
    try:
        size = path.stat().st_size
        with conf_path.open("rb") as file:
            conf = json.loads(file.read(_LONGEST_CONF))
    except OSError as error:
        raise DataError(
            f"{error.filename}: cannot be read: {error.strerror}; an AdaFace set has mem_file.dat and "
            "mem_file.dat.conf in one folder"
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f'{conf_path}: expected JSON such as {{"shape": [12000, 3, 112, 112], "dtype": "float32"}}'
        ) from error
    shape, dtype = (conf.get("shape"), conf.get("dtype")) if isinstance(conf, dict) else (None, None)
    if dtype != "float32":
        raise DataError(f"{conf_path}: dtype {dtype!r}, expected float32")
    if not isinstance(shape, list) or len(shape) != 4 or not all(type(side) is int and side > 0 for side in shape):
        raise DataError(f"{conf_path}: shape {shape!r}, expected (images, 3, height, width)")
    count, channels, height, width = shape
    if channels != 3 or max(height, width) > _LONGEST_SIDE:
        raise DataError(f"{conf_path}: shape {shape}, expected (images, 3, height, width)")
    if size != 4 * math.prod(shape):
        raise DataError(
            f"{path} has {size} bytes, but the shape {shape} of float32 in {conf_path.name} needs "
            f"{4 * math.prod(shape)}: one of the files is truncated or belongs to another set"
        )
    return count, channels, height, width


def _same(path: Path) -> NDArray[np.bool_]:
    """The truth values in a .npy file. Pickles in it are never loaded."""
    try:
        same = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}; this file says which pairs show the same person"
        ) from error
    except Exception as error:  # numpy raises many different errors for damaged headers
        raise DataError(
            f"{path} is not an array of truth values, or contains a pickle, which could run code and is not "
            f"loaded. Save it again with numpy.save(path, numpy.array(issame, dtype=bool)): {str(error)[:200]}"
        ) from error
    if not isinstance(same, np.ndarray) or same.ndim != 1 or not (same.dtype == np.bool_ or same.dtype.kind in "iu"):
        raise DataError(f"{path}: expected truth values in an array of one dimension")
    if not np.isin(same, (0, 1)).all():
        raise DataError(f"{path}: expected truth values, found values other than 0 and 1")
    return np.array(same, dtype=np.bool_)


@register_pair_format("memmap", f"a folder with AdaFace's {DAT_FILE}", order=20)
def _open(at: Location) -> VerificationSet | None:
    return load_adaface_memmap(at.path) if at.path is not None and (at.path / DAT_FILE).is_file() else None
