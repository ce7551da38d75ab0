"""Writes one folder of images per person."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.writers.base import ImageWriter, register_writer, remove_from
from facemargin.files.atomic import flush_all
from facemargin.files.listing import is_system_name
from facemargin.files.plain_numbers import is_digits

_UNSAFE = re.compile(r"[/\\:*?\"<>|\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST = 100


@register_writer("folder", "one folder of images per person")
class FolderWriter(ImageWriter):
    """`person/000000123.jpg`, where the number counts all images. Numbers of people are padded with zeros, so that
    sorting by name keeps their order. Names that cannot be folder names are changed."""

    @property
    def stored_names(self) -> list[str]:
        return self._folders

    def _resume(self, state: dict[str, Any]) -> None:
        self._folders = folder_names(self.identity_names)
        self._images = state.get("images", 0)
        remove_from(self.folder.glob("[!.]*/*"), self._images)
        for person in self.folder.glob("[!.]*"):
            if person.is_dir() and not any(person.iterdir()):
                person.rmdir()

    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        write_image(self.folder / self._folders[label] / f"{number:09d}{suffix}", encoded)
        self._images = number + 1

    def commit(self) -> tuple[int | None, dict[str, Any]]:
        return None, {"images": self._images}

    def finish(self, labels_N: NDArray[np.int64]) -> None:
        flush_all(self.folder)


def write_image(path: Path, encoded: bytes) -> None:
    """Write a file. Its folder is created if it does not exist."""
    try:
        path.write_bytes(encoded)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)


def folder_names(names: Sequence[str]) -> list[str]:
    """A different folder name for each person. The names are valid on any file system and never lead to another
    folder."""
    width = max(map(len, names), default=0) if all(map(is_digits, names)) else 0
    folders: list[str] = []
    taken: set[str] = set()
    for number, name in enumerate(names):
        folder = _UNSAFE.sub("_", name.zfill(width))[:_LONGEST].strip(". ") or "_"
        if is_system_name(folder):
            folder += "_"
        if folder.casefold() in taken:
            folder = f"{folder}_{number}"
        while folder.casefold() in taken:
            folder += "_"
        taken.add(folder.casefold())
        folders.append(folder)
    return folders
