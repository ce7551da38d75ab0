"""Writes an image list, list.txt, and the images it names."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.formats.identity_names import write_identity_names
from facemargin.data.formats.image_list import LIST_NAME
from facemargin.data.writers.append_file import AppendFile
from facemargin.data.writers.base import ImageWriter, register_writer, remove_from
from facemargin.data.writers.folder_writer import write_image
from facemargin.files.atomic import flush_all

_IMAGES_IN_FOLDER = 10_000


@register_writer("list", "list.txt and images/")
class ListWriter(ImageWriter):
    """Images are stored as `images/0012/000123456.jpg`, 10,000 per folder. Lines are `path<TAB>number of the
    person`."""

    def _resume(self, state: dict[str, Any]) -> None:
        self._list = AppendFile(self.folder / LIST_NAME, state.get("list", 0))
        self._images = state.get("images", 0)
        for folder in (self.folder / "images").glob("*"):
            if folder.name.isdecimal() and int(folder.name) >= self._images // _IMAGES_IN_FOLDER:
                remove_from(folder.iterdir(), self._images)
                if not any(folder.iterdir()):
                    folder.rmdir()

    def add(self, number: int, label: int, encoded: bytes, suffix: str) -> None:
        name = f"images/{number // _IMAGES_IN_FOLDER:04d}/{number:09d}{suffix}"
        write_image(self.folder / name, encoded)
        self._list.write(f"{name}\t{label}\n".encode())
        self._images = number + 1

    def commit(self) -> tuple[int | None, dict[str, Any]]:
        self._list.sync()
        return None, {"list": self._list.size, "images": self._images}

    def finish(self, labels_N: NDArray[np.int64]) -> None:
        self._list.close()
        flush_all(self.folder)
        write_identity_names(self.folder, self.identity_names)
