"""Features that several processes compute at once, in pieces: ranges of whole batches, each in a file of its own.

pieces/layout.json    what the pieces belong to, the number of images and the batch size
pieces/000000004096-000000008192.npz    features, norms, quality of images 4096 to 8191; key and errors as JSON text

A piece is written completely or not at all, by any process, and `take_up` appends it to the arrays of the folder. The
last bits of a feature depend on the batch in which its image is computed, so a piece has the batches of a single
process, and its rows are those of one. Shapes: N images, P of a piece, D embedding size.
"""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import DataError
from facemargin.features.store_files import MANIFEST, PIECES, FeatureFiles
from facemargin.files.atomic import remove_partial_files, write_atomically, write_text_atomically
from facemargin.files.npz import load_arrays
from facemargin.models.read_ahead import batches_of
from facemargin.models.readable import ReadableResults

MOST_IMAGES = 4096
"""Of a piece. 112 × 112 pixels of so many are 154 MB, which a process receives at once."""
_PIECES_WANTED = 1024
_FORMAT = "facemargin pieces 1"
_LAYOUT = "layout.json"

Array = NDArray[np.float32]
Rows = tuple[Array, Array, Array]
"""Features (P, D), norms (P,) and qualities (P,); zero for an image that cannot be read."""


def piece_size(count: int, batch_size: int) -> int:
    """Images of a piece: whole batches, about a thousandth of all `count` images, and at most `MOST_IMAGES` unless a
    single batch has more."""
    wanted = min(MOST_IMAGES, -(-count // _PIECES_WANTED))
    return max(1, min(-(-wanted // batch_size), MOST_IMAGES // batch_size)) * batch_size


def rows_of(results: ReadableResults) -> Rows:
    """Features, norms and qualities of a batch."""
    embeddings = results.embeddings
    features_BD = np.zeros((len(results.batch), embeddings.vectors.shape[1]), np.float32)
    norms_B, quality_B = np.zeros((2, len(results.batch)), np.float32)
    rows = np.array(results.indices, dtype=np.int64) - results.batch.start
    features_BD[rows] = embeddings.vectors * embeddings.norms[:, None]
    norms_B[rows], quality_B[rows] = embeddings.norms, embeddings.quality
    return features_BD, norms_B, quality_B


def join_rows(parts: Sequence[Rows]) -> Rows:
    """The rows of batches, one after the other."""
    features_PD, norms_P, quality_P = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return features_PD, norms_P, quality_P


@dataclass(frozen=True)
class Pieces:
    """The pieces of `count` images with `size` values each, in `folder`/pieces. `key` as of FeatureFiles."""

    folder: Path
    key: str
    count: int
    size: int
    batch_size: int

    @property
    def ranges(self) -> list[range]:
        """The images of every piece."""
        return batches_of(self.count, piece_size(self.count, self.batch_size))

    def batches(self, piece: range) -> list[range]:
        return batches_of(piece.stop, self.batch_size, piece.start)

    def path(self, piece: range) -> Path:
        return self.folder / PIECES / f"{piece.start:012d}-{piece.stop:012d}.npz"

    def begin(self) -> None:
        """Make the folder, if it is not there. Raises DataError if it has pieces of something else."""
        if not self.check():
            write_text_atomically(self.folder / PIECES / _LAYOUT, json.dumps(self._description(), indent=1))

    def check(self) -> bool:
        """Whether there are pieces. Raises DataError if they are of other images, another model, other views or another
        batch size."""
        path = self.folder / PIECES / _LAYOUT
        try:
            theirs = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(theirs, dict):
                raise ValueError(f"it has {type(theirs).__name__}, expected an object")
        except OSError:  # none, or a folder that cannot be read, which is told where it is written to
            return False
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path} is damaged ({error!r}): delete {path.parent} to start again") from error
        if theirs == self._description():
            return True
        if theirs | {"batch_size": self.batch_size} == self._description():
            raise DataError(
                f"{path.parent} has pieces that were computed {theirs['batch_size']} images at a time, not "
                f"{self.batch_size}: give --batch-size {theirs['batch_size']}, or delete {path.parent}"
            )
        raise DataError(
            f"{path.parent} has pieces of other images, another model or other views: give another folder, or delete it"
        )

    def is_done(self, piece: range, done: int) -> bool:
        """Whether nobody has to compute this piece: it is in its file, or among the first `done` rows of the arrays."""
        return piece.stop <= done or self.path(piece).is_file()

    def write(self, piece: range, rows: Rows, messages: dict[int, str]) -> None:
        """Write the rows of a piece, and the errors of its images that cannot be read."""
        about = np.array(json.dumps({"key": self.key, "unreadable": messages}))
        features_PD, norms_P, quality_P = rows

        def save(temporary: Path) -> None:
            with temporary.open("wb") as file:
                np.savez(file, about=about, features=features_PD, norms=norms_P, quality=quality_P)

        write_atomically(self.path(piece), save)

    def read(self, piece: range) -> tuple[Rows, dict[int, str]]:
        """The rows of a piece, and the errors of its images. Raises DataError for a damaged file."""
        path = self.path(piece)
        try:
            arrays = load_arrays(path)
            about = json.loads(str(arrays["about"]))
            if about["key"] != self.key:
                raise ValueError("it is of other images, another model or other views")
            messages = {int(index): str(message) for index, message in about["unreadable"].items()}
            rows = arrays["features"], arrays["norms"], arrays["quality"]
            _check(rows, (len(piece), self.size))
            if outside := [index for index in messages if index not in piece]:
                raise ValueError(f"it has an error of image {outside[0]}")
        except Exception as error:  # numpy and zipfile raise many different errors for damaged archives
            raise DataError(
                f"{path} is damaged ({error}): delete it, and run the same command again to compute it"
            ) from error
        return rows, messages

    def take_up(self, files: FeatureFiles) -> Iterator[tuple[range, dict[int, str]]]:
        """Append the pieces that follow the first `files.done` rows, as far as there are any without a gap; yields each
        with the errors of its images. They count after `files.save`, when `remove` may delete them."""
        size = piece_size(self.count, self.batch_size)
        while files.done < self.count:
            start = files.done // size * size
            piece = range(start, min(start + size, self.count))
            if not self.path(piece).is_file():
                return
            rows, messages = self.read(piece)
            files.write(piece, *rows, messages)
            yield piece, messages

    def remove(self, done: int) -> None:
        """Delete the pieces among the first `done` rows, which the arrays have, and the folder after the last one."""
        folder = self.folder / PIECES
        for path in folder.glob("*-*.npz"):
            if path.stem.rpartition("-")[2].isdecimal() and int(path.stem.rpartition("-")[2]) <= done:
                path.unlink(missing_ok=True)
        if done == self.count and folder.is_dir():
            remove_partial_files(folder)
            (folder / _LAYOUT).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what somebody else has put there stays
                folder.rmdir()

    def _description(self) -> dict[str, Any]:
        ours = {"key": self.key, "images": self.count, "embedding_size": self.size, "batch_size": self.batch_size}
        return {"format": _FORMAT, **ours}


def rows_done(folder: Path, key: str) -> int:
    """How many rows the arrays in `folder` have, 0 without a manifest; its damage is told where they are opened."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["key"] == key and type(manifest["done"]) is int:
            return int(manifest["done"])
    return 0


def _check(rows: tuple[Any, Any, Any], shape: tuple[int, int]) -> None:
    for array, expected in zip(rows, (shape, shape[:1], shape[:1]), strict=True):
        if array.shape != expected or array.dtype != np.float32:
            raise ValueError(f"it has {array.dtype} of shape {array.shape}, expected float32 of shape {expected}")
        if not np.isfinite(array).all():
            raise ValueError("it has values that are not finite")
