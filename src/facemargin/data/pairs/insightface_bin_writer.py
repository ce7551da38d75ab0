"""Writes InsightFace `.bin` files: a pickle of (list of encoded images, list of bool). It is written one instruction at
a time, so that only one image is in memory. An image that several pairs share is stored once.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from facemargin.data.images.common_kind import in_common_kind, say_as_png
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.files.atomic import write_atomically

Progress = Callable[[int, int], None]

_PROTOCOL = 3


def write_bin(pairs: VerificationSet, path: Path, progress: Progress | None = None) -> None:
    """Write the pairs, in their order, with the image bytes from `read_encoded` (rare formats become PNG, which is
    logged). The file is written completely or not at all. The format cannot store folds and people.

    `progress(done, all)` counts stored images. Raises CorruptImageError for images that cannot be read, OutputError
    if the file cannot be written.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            _write(pairs, file, progress)

    write_atomically(path, write)


def _write(pairs: VerificationSet, file: BinaryIO, progress: Progress | None) -> None:
    images_2K = np.stack([pairs.first_K, pairs.second_K], axis=1).ravel().tolist()
    total = len(set(images_2K))
    memo: dict[int, int] = {}
    changed = 0
    file.write(pickle.PROTO + bytes([_PROTOCOL]) + pickle.EMPTY_LIST + pickle.MARK)
    for image in images_2K:
        if image in memo:
            file.write(pickle.LONG_BINGET + memo[image].to_bytes(4, "little"))
            continue
        encoded = pairs.images.read_encoded(image)
        encoded, _, is_changed = in_common_kind(encoded, pairs.images.describe(image))
        changed += is_changed
        memo[image] = len(memo)
        file.write(pickle.BINBYTES + len(encoded).to_bytes(4, "little") + encoded)
        file.write(pickle.LONG_BINPUT + memo[image].to_bytes(4, "little"))
        if progress is not None:
            progress(len(memo), total)
    say_as_png(changed, pairs.name)
    file.write(pickle.APPENDS + pickle.EMPTY_LIST + pickle.MARK)
    file.write(b"".join(pickle.NEWTRUE if same else pickle.NEWFALSE for same in pairs.same_K.tolist()))
    file.write(pickle.APPENDS + pickle.TUPLE2 + pickle.STOP)
