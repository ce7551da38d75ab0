"""Images as a caller has them in Python: arrays, tensors, PIL images, paths, and the content of image files.

Images with one possible meaning are read. Ambiguous ones (floats, colours first) are refused; the message says what to
pass. Shapes: N images, H × W pixels.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.image_files import read_image_bytes, read_image_file
from facemargin.data.images.decode import decode_image
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import DataError

_NAME = "the given images"
_EXPECTED = "expected uint8 (H, W, 3), RGB"
# The PIL modes with values 0…255. Values of other modes would be cut off.
_PIL_MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"}


GivenForm = RGBImage | str | Path | Any
"""An image: an array, a tensor, a path, a PIL image or the content of a file; see `one_image`."""


class GivenImages(ImageSource):
    """Images in memory and in files, in the given order. Files are read when their image is requested."""

    threadsafe = True

    def __init__(self, items: Iterable[Any]) -> None:
        self.name = _NAME
        self._items = [_kept(item, f"{_NAME}: image {index}") for index, item in enumerate(items)]

    def __len__(self) -> int:
        return len(self._items)

    def read(self, index: int) -> RGBImage:
        item = self._items[index]
        return one_image(item, self.describe(index)) if isinstance(item, Path | bytes) else item

    def read_encoded(self, index: int) -> bytes:
        item = self._items[index]
        if isinstance(item, bytes):
            return item
        return read_image_bytes(item) if isinstance(item, Path) else super().read_encoded(index)

    def is_stored(self, index: int) -> bool:
        return isinstance(self._items[index], Path | bytes)

    def describe(self, index: int) -> str:
        item = self._items[index]
        return str(item) if isinstance(item, Path) else f"{_NAME}: image {index}"


def _kept(item: Any, where: str) -> Path | bytes | RGBImage:
    """What is read only when it is asked for stays as it is, so that it takes less memory."""
    if isinstance(item, str | Path):
        return Path(item)
    return _content(item, where) if _is_content(item) else one_image(item, where)


def given_images(images: Any) -> ImageSource:
    """Convert images to an ImageSource. They may be an ImageSource, one image in any form of `one_image`, a list of
    such images, or an array or tensor of several images (N, H, W, 3). Raises DataError for anything else; the message
    says what to pass."""
    if isinstance(images, ImageSource):
        return images
    if isinstance(images, str | Path) or _is_pil(images) or _is_content(images):
        return GivenImages([images])
    array = _array(images)
    if array is not None and array.ndim == 1 and array.dtype.kind in "UO":  # paths, or images of several sizes
        return GivenImages(array.tolist())
    if array is not None:
        return GivenImages([array] if array.ndim in (2, 3) else array if array.ndim == 4 else [array])
    if isinstance(images, dict) or not isinstance(images, Iterable):
        raise DataError(f"the images are {_kind(images)}; {_FORMS}")
    return GivenImages(images)


_FORMS = (
    "expected a path, an array (H, W, 3) of uint8, RGB, a PIL image, the bytes of an image file or the open file, or a "
    "list of them; or the result of facemargin.data.open.open_images"
)


def one_image(image: Any, where: str = "the image") -> RGBImage:
    """Convert an image to (H, W, 3) uint8 RGB: a path, a PIL image (turned upright by its EXIF data; of 16 bits, the
    upper 8 are used, as of a file), the bytes of an image file, such a file opened to read bytes, or a uint8 array or
    tensor of shape (H, W, 3) in RGB or (H, W) in grey.

    A file that PIL opened has the pixels of the file itself, but for what PIL decodes otherwise: CMYK (by 1 of 255),
    16 bits of each colour in PNM and TIFF (by 1), a TIFF with transparency and LAB; and an animated WebP is turned by
    its EXIF data in PIL alone.

    Raises DataError for anything else, such as floats, whose range is not known, colours first, or more than three
    channels. The message names `where` and says what to pass.
    """
    if isinstance(image, str | Path):
        if not str(image):
            raise DataError(f"{where} is an empty text, expected a path")
        if Path(image).is_dir():
            raise DataError(
                f"{image} is a folder, expected an image; pass a list of its files, such as "
                "sorted(Path(folder).rglob('*.jpg')), or of a folder of people pass open_images(folder)"
            )
        return read_image_file(Path(image))
    if _is_content(image):
        return decode_image(_content(image, where), where)
    if _is_pil(image):
        return _of_pil(image, where)
    array = _array(image)
    if array is None:
        raise DataError(f"{where} is {_kind(image)}; {_FORMS}")
    if np.ma.is_masked(array):
        raise DataError(f"{where} has masked pixels, which would count: fill them, as in image.filled(128)")
    if array.dtype != np.uint8 or not array.size:
        raise DataError(f"{where} is {array.dtype} of shape {array.shape}; {_EXPECTED}{_cast(array)}")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        return np.repeat(array.reshape(*array.shape[:2], 1), 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise DataError(f"{where} is {array.dtype} of shape {array.shape}; {_EXPECTED}{_reshape(array)}")
    return array


def _is_pil(image: Any) -> bool:
    """Checks the type without importing PIL: if the value is a PIL image, PIL is imported already."""
    return any(cls.__module__ == "PIL.Image" and cls.__name__ == "Image" for cls in type(image).__mro__)


def _is_content(image: Any) -> bool:
    """Whether this is the content of a file, or an open file."""
    is_open_file = all(callable(getattr(image, name, None)) for name in ("read", "readline"))
    return is_open_file or isinstance(image, bytes | bytearray | memoryview)


def _content(image: Any, where: str) -> bytes:
    content = image if isinstance(image, bytes | bytearray | memoryview) else image.read()
    if isinstance(content, str):
        raise DataError(f"{where} is a file opened to read text: open it to read bytes, as in open(path, 'rb')")
    return bytes(content)


def _of_pil(image: Any, where: str) -> RGBImage:
    from PIL import ImageOps

    if image.mode.startswith("I;16"):
        gray = (np.asarray(ImageOps.exif_transpose(image)) >> 8).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode not in _PIL_MODES:
        # Pillow's convert("RGB") would cut these values off at 255.
        wide = image.mode in ("I", "F")
        advice = _cast(np.asarray(image)) if wide else ": pass image.convert('RGB')"
        raise DataError(f"{where} is a PIL image in mode {image.mode}, expected 8 bits per colour, such as RGB{advice}")
    return np.array(ImageOps.exif_transpose(image).convert("RGB"))


def _array(image: Any) -> NDArray[Any] | None:
    """Convert an array or a tensor to an array. None for anything else."""
    if isinstance(image, np.ndarray):
        return image
    if any(cls.__module__ == "torch" and cls.__name__ == "Tensor" for cls in type(image).__mro__):
        tensor = image.detach().cpu()
        array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        return array
    return None


def _kind(value: Any) -> str:
    return "None" if value is None else f"of the type {type(value).__name__}"


def _cast(array: NDArray[Any]) -> str:
    """Advice on how to convert the array to uint8."""
    if not array.size or array.dtype.kind not in "fiu":
        return ""
    low, high = float(array.min()), float(array.max())
    values = f". Its values go from {low:.4g} to {high:.4g}: "
    if array.dtype.kind == "f" and low >= 0 and high <= 1:
        return f"{values}if they mean 0…1, pass (255 * image).round().astype(numpy.uint8)"
    if low >= 0 and high <= 255:
        return f"{values}if they mean 0…255, pass image.round().astype(numpy.uint8)"
    return f"{values}scale them to 0…255 first"


def _reshape(array: NDArray[Any]) -> str:
    """Advice on how to reorder the axes of the array."""
    if array.ndim == 3 and array.shape[0] == 3:
        return ". Its colours seem to come first: pass image.transpose(1, 2, 0) (a tensor's permute)"
    if array.ndim == 3 and array.shape[2] == 4:
        return ". If the fourth channel is transparency, pass image[:, :, :3]"
    if array.ndim == 4:
        return ". Pass one image instead of several"
    return ""
