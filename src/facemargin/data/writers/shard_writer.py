"""Writes WebDataset shards: train-000000.tar, …, with an image and a `cls` file per sample."""

import tarfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.identity_names import write_identity_names
from facemargin.data.writers.append_file import AppendFile
from facemargin.data.writers.base import ImageWriter, register_writer, remove_from

SHARD_IMAGES = 10_000
SHARD_BYTES = 1 << 30
_BLOCK = 512
_END = bytes(2 * _BLOCK)


@register_writer("webdataset", "train-*.tar")
class ShardWriter(ImageWriter):
    """A shard is full at 10,000 images or 1 GiB."""

    def _resume(self, state: dict[str, Any]) -> None:
        self._number = state.get("shard", 0)
        self._images = state.get("images", 0)
        remove_from(self.folder.glob("train-*"), self._number + 1)
        self._shard = self._open(state.get("size", 0))

    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        if self._images >= SHARD_IMAGES or self._shard.size >= SHARD_BYTES:
            self._close()
            self._number, self._images = self._number + 1, 0
            self._shard = self._open(0)
        name = f"{number:09d}"
        self._shard.write(_member(name + suffix, encoded) + _member(name + ".cls", b"%d" % label))
        self._images += 1

    def commit(self) -> tuple[int | None, dict[str, Any]]:
        self._shard.sync()
        return None, {"shard": self._number, "images": self._images, "size": self._shard.size}

    def finish(self, labels_N: NDArray[np.int64]) -> None:
        self._close()
        write_identity_names(self.folder, self.identity_names)

    def _open(self, size: int) -> AppendFile:
        return AppendFile(self.folder / f"train-{self._number:06d}.tar", size)

    def _close(self) -> None:
        self._shard.write(_END)
        self._shard.close()


def _member(name: str, content: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % _BLOCK)
