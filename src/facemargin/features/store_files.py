"""The files of a feature store: three growing arrays, and a manifest that says how many rows are complete.

features.npy (N, D) float32, norms.npy and quality.npy (N,) float32, for numpy.load(…, mmap_mode="r") when complete
manifest.json what they depend on, their shape, `done` (rows that are on the disk), and {index: message} of images that
cannot be read

Rows beyond `done` come from a killed process and are written again. Shapes: N images, B of a batch, D embedding size.
"""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError, OutputError
from facemargin.files.atomic import remove_partial_files, write_text_atomically

MANIFEST = "manifest.json"
PIECES = "pieces"
"""The subfolder for rows that other processes have computed and that are not in the arrays yet."""
_FORMAT = "facemargin features 1"
_NAMES = ("features.npy", "norms.npy", "quality.npy")

Array = NDArray[np.float32]


def _header(shape: tuple[int, ...]) -> bytes:
    """The header of an .npy file of little-endian float32."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def _may_be_ours(name: str) -> bool:
    """Whether a process that was killed before it wrote a manifest may have left this file. Hidden files count as
    such, and so do pieces."""
    return name in (*_NAMES, PIECES) or name.startswith(".")


class FeatureFiles:
    """The files in `folder` for features of `count` images with `size` values each, identified by `key`.

    `done` rows are written; those in `unreadable` {index: message} are zero. Raises DataError, which names the folder,
    if it contains something else or cannot be written.
    """

    def __init__(self, folder: Path, key: str, count: int, size: int) -> None:
        self.folder, self.key, self.count, self.size = folder, key, count, size
        self.done = 0
        self.unreadable: dict[int, str] = {}
        self._files: list[BinaryIO] = []
        self._widths = (4 * size, 4, 4)
        self._headers = [_header(shape) for shape in ((count, size), (count,), (count,))]
        if (folder / MANIFEST).exists():
            self._resume(self._manifest())
        elif folder.is_dir() and (
            others := sorted(file.name for file in folder.iterdir() if not _may_be_ours(file.name))
        ):
            raise DataError(f"{folder} contains other files ({others[0]}) and no {MANIFEST}: give another folder")

    @classmethod
    def there(cls, folder: Path) -> "FeatureFiles":
        """What is stored in `folder`, of whatever model. Raises DataError if it holds no features."""
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            key, count, size = str(manifest["key"]), manifest["images"], manifest["embedding_size"]
            if not all(type(number) is int and number >= 0 for number in (count, size)):
                raise ValueError(f"{count!r} images of {size!r} values")
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{folder / MANIFEST} is damaged or missing ({error!r})") from error
        return cls(folder, key, count, size)

    def __enter__(self) -> "FeatureFiles":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_partial_files(self.folder)
            for name, header in zip(_NAMES, self._headers, strict=True):
                (self.folder / name).touch()
                self._files.append((self.folder / name).open("r+b"))
                self._files[-1].write(header)
        except OSError as error:
            self._close()
            raise OutputError(f"features cannot be written to {self.folder}: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(
        self, batch: range, features_BD: Array, norms_B: Array, quality_B: Array, messages: dict[int, str]
    ) -> None:
        """Write rows at their positions, and the errors of images without a row. They only count after `save`."""
        try:
            places = zip(self._files, self._headers, self._widths, (features_BD, norms_B, quality_B), strict=True)
            for file, header, width, rows in places:
                file.seek(len(header) + batch.start * width)
                file.write(np.ascontiguousarray(rows, "<f4").tobytes())
        except OSError as error:
            raise self._cannot_write(error) from error
        for index in batch:
            self.unreadable.pop(index, None)
        self.unreadable |= messages
        self.done = max(self.done, batch.stop)

    def save(self) -> None:
        """Flush everything to the disk, the manifest last."""
        try:
            for file in self._files:
                file.flush()
                os.fsync(file.fileno())
            manifest = self._description() | {"done": self.done, "unreadable": self.unreadable}
            write_text_atomically(self.folder / MANIFEST, json.dumps(manifest, indent=1))
        except (OSError, OutputError) as error:
            raise self._cannot_write(error) from error

    def arrays(self) -> tuple[Array, Array, Array]:
        """Features (N, D), norms (N,) and qualities (N,), memory-mapped."""
        if not self.count:
            return np.empty((0, self.size), np.float32), np.empty(0, np.float32), np.empty(0, np.float32)
        features_ND, norms_N, quality_N = (
            np.load(self.folder / name, mmap_mode="r", allow_pickle=False) for name in _NAMES
        )
        return features_ND, norms_N, quality_N

    def checked_arrays(self) -> tuple[Array, Array, Array]:
        """As `arrays`. Raises DataError, which names the file, if one is not as `save` left it."""
        arrays = []
        shapes = ((self.count, self.size), (self.count,), (self.count,))
        for name, header, width, shape in zip(_NAMES, self._headers, self._widths, shapes, strict=True):
            path = self.folder / name
            try:
                with path.open("rb") as file:
                    is_ours = file.read(len(header)) == header
                if not is_ours or path.stat().st_size != len(header) + width * self.count:
                    raise ValueError("its beginning or its length is another")
                arrays.append(np.memmap(path, "<f4", "r", len(header), shape) if self.count else np.empty(shape, "<f4"))
            except (OSError, ValueError) as error:
                raise DataError(f"{path} is damaged ({error}): delete {self.folder} to start again") from error
        return arrays[0], arrays[1], arrays[2]

    def _description(self) -> dict[str, Any]:
        return {"format": _FORMAT, "key": self.key, "images": self.count, "embedding_size": self.size}

    def _manifest(self) -> dict[str, Any]:
        path = self.folder / MANIFEST
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            manifest["unreadable"] = {int(index): str(message) for index, message in manifest["unreadable"].items()}
            done, wrong = manifest["done"], [i for i in manifest["unreadable"] if not 0 <= i < manifest["done"]]
            if type(done) is not int or not 0 <= done <= manifest["images"] or wrong:
                raise ValueError(f"done is {done!r} of {manifest['images']!r}")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{path} is damaged ({error!r}): delete {self.folder} to start again") from error
        return dict(manifest)

    def _resume(self, manifest: dict[str, Any]) -> None:
        theirs, ours = (
            {name: description.get(name) for name in self._description()}
            for description in (manifest, self._description())
        )
        if theirs != ours:
            what = "of other images, another model or other views"
            if theirs["format"] != ours["format"]:
                what = f"in another format ({theirs['format']!r})"
            elif theirs["images"] != ours["images"]:
                what = f"of {theirs['images']} images, not {ours['images']}"
            raise DataError(f"{self.folder} contains features {what}: give another folder, or delete it")
        for name, header, width in zip(_NAMES, self._headers, self._widths, strict=True):
            path, expected = self.folder / name, len(header) + manifest["done"] * width
            size = path.stat().st_size if path.is_file() else 0
            if size < expected:
                raise DataError(
                    f"{path} has {size} bytes, expected {expected} or more: delete {self.folder} to start again"
                )
        self.done, self.unreadable = manifest["done"], manifest["unreadable"]

    def _cannot_write(self, error: Exception) -> OutputError:
        return OutputError(
            f"features cannot be written to {self.folder}: {error}; the first {self._saved()} of {self.count} are "
            "kept: free some space and run the same command again"
        )

    def _saved(self) -> int:
        try:
            return int(self._manifest()["done"])
        except DataError:  # no manifest yet
            return 0

    def _close(self) -> None:
        for file in self._files:
            with contextlib.suppress(OSError):  # the disk is full; data that is not flushed does not count as saved
                file.close()
        self._files = []
