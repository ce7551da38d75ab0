"""Images as files, by their names."""

import re
import stat
from collections.abc import Sequence
from pathlib import Path

from facemargin.data.images.decode import LARGEST_ENCODED, decode_image
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import CorruptImageError
from facemargin.files.unicode_names import similar_files


def read_image_file(path: Path) -> RGBImage:
    """Read the image in a file as (H, W, 3) uint8 RGB. A file is also found if its name is in another Unicode normal
    form. Raises CorruptImageError, which names the file, if it cannot be read."""
    return decode_image(read_image_bytes(path), str(path))


def read_image_bytes(path: Path) -> bytes:
    """The content of the file that `read_image_file` decodes. CorruptImageError, which names it, as there."""
    try:
        return _bytes_of(path)
    except FileNotFoundError as error:
        # The path itself is in this list if it is a broken link.
        similar = [other for other in similar_files(path) if other != path]
        if len(similar) == 1:
            return _bytes_of(similar[0])
        several = f"; {len(similar)} files differ from it in Unicode normal form only" if similar else ""
        raise CorruptImageError(f"{path}: cannot be read: {error.strerror}{several or _advice(path)}") from error


def _advice(path: Path) -> str:
    """What to do about a text that is no path."""
    text = str(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:[/\\]", text) or text.startswith("data:"):
        return ". It seems to be an address (URL): nothing is downloaded; save the image as a file first"
    if text.startswith("~"):
        return ". ~ is a folder for the shell only: pass Path(...).expanduser()"
    return ". A pattern is not expanded: pass sorted(Path(folder).glob(pattern))" if "*" in text else ""


def _bytes_of(path: Path) -> bytes:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a list may name an endless device, such as /dev/zero
            raise CorruptImageError(f"{path}: is not a file, expected an image")
        if status.st_size > LARGEST_ENCODED:
            raise CorruptImageError(f"{path}: the file has {status.st_size:,} bytes, too many for an image")
        return path.read_bytes()
    except (FileNotFoundError, CorruptImageError):
        raise
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte, which a list may contain
        raise CorruptImageError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}") from error


class ImageFiles(ImageSource):
    """The files `names`, relative to the folder `root`, in that order; `name` is what messages call them, by default
    the folder."""

    threadsafe = True

    def __init__(self, root: Path | str, names: Sequence[str | Path], name: str | None = None) -> None:
        self.root = Path(root)
        self.name = str(root) if name is None else name
        self._names = list(names)

    def __len__(self) -> int:
        return len(self._names)

    def read(self, index: int) -> RGBImage:
        return read_image_file(self.root / self._names[index])

    def read_encoded(self, index: int) -> bytes:
        return read_image_bytes(self.root / self._names[index])

    def describe(self, index: int) -> str:
        return str(self.root / self._names[index])
