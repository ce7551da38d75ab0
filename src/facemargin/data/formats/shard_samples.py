"""Finds the images in tar shards, and the person in each. Shapes: N images."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.identity_names import FILE_NAME
from facemargin.data.formats.tar import LABEL_EXTENSIONS, TarShard, group_samples
from facemargin.data.formats.text_labels import UNLABELED, text_identities
from facemargin.errors import DataError
from facemargin.files.listing import IMAGE_SUFFIXES
from facemargin.files.plain_numbers import is_digits, is_negative, whole_number

_COMMON = ("jpg", "jpeg", "png", "webp", "bmp", "pgm")
IMAGE_EXTENSIONS = (*_COMMON, *sorted({suffix[1:] for suffix in IMAGE_SUFFIXES} - set(_COMMON)))
"""The extensions of images. If a sample has several images, the first in this order is used."""

_PICKLES = frozenset({"pyd", "pkl", "pickle", "pth"})
_SHOWN = 5

_REPEATED = "members with the name of an earlier member, which are not read"
_DOTTED = "images with dots in their names, read as separate samples (WebDataset itself cuts names at the first dot)"
_BESIDE = "further images of a sample, of which only the first is read"
_NO_LABEL = (
    "images left out because they have no label (a person's number or name in a cls file, or a label in a json file)"
)

logger = logging.getLogger(__name__)


class Samples:
    """The images of `shards`: their positions `shard_N` and `position_N`, their people `labels` (N,), `identity_names`
    and `has_names`, and the number `num_unlabeled` of images that were left out because their label is −1.

    The label of an image is the text in the `cls` file of its sample, or else the label in its `json` file, or the
    whole number in its `txt` file. Shards without any such file are read as an archive of a folder of people.
    Everything that is not read is counted in logged warnings. Raises DataError if no image has a label.
    """

    def __init__(self, shards: Sequence[TarShard], name: str) -> None:
        self.shards = shards
        self._name = name
        self._texts: dict[str, int] = {}
        self._sources: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._noted: dict[str, tuple[int, list[str]]] = {}
        self._without_label: list[tuple[int, int]] = []
        rows: list[NDArray[np.int64]] = []
        has_label_files = False
        for number, shard in enumerate(shards):
            shard_rows, labeled = self._read(number, shard)
            has_label_files |= labeled
            # Compressed shards are read from the beginning, so the images of a shard are in the order of the file.
            rows.append(np.array(sorted(shard_rows), dtype=np.int64).reshape(-1, 3))
            shard.labels = {}  # for millions of samples, the names would take a gigabyte and are not needed any more
        if has_label_files or any(len(shard_rows) for shard_rows in rows):
            self.shard_N, self.position_N, text_N = np.concatenate(rows).T.copy()
            self._name_people(text_N)
        else:
            self._people_by_folder()

    def member(self, index: int) -> tuple[TarShard, int]:
        """The shard of image `index` and its position in the shard."""
        return self.shards[self.shard_N[index]], int(self.position_N[index])

    def _read(self, number: int, shard: TarShard) -> tuple[list[tuple[int, int, int]], bool]:
        """(shard, position, number of the label text) of every labelled image, and whether any sample has a label."""
        rows: list[tuple[int, int, int]] = []
        grouped = group_samples(shard.names, IMAGE_EXTENSIONS)
        self._note(_REPEATED, shard, grouped.repeated)
        self._note(_DOTTED, shard, grouped.dotted)
        passed_over: list[int] = []
        has_label_files = False
        for sample in grouped.samples:
            images = [sample[kind] for kind in IMAGE_EXTENSIONS if kind in sample]
            passed_over += images[1:]
            passed_over += [
                sample[kind] for kind in sample if kind.rpartition(".")[2] in IMAGE_EXTENSIONS and "." in kind
            ]
            if not images:
                self._others.update(sample.keys())
                continue
            source = next((kind for kind in LABEL_EXTENSIONS if kind in sample), None)
            text = None if source is None else _label(shard.labels.get(sample[source]), source)
            has_label_files |= source == "cls" or text is not None
            if source is None or text is None:
                self._without_label.append((number, images[0]))
            else:
                self._sources[source] += 1
                rows.append((number, images[0], self._texts.setdefault(text, len(self._texts))))
        self._note(_BESIDE, shard, passed_over)
        return rows, has_label_files

    def _note(self, what: str, shard: TarShard, positions: Sequence[int]) -> None:
        """Record members for the warnings."""
        if positions:
            count, shown = self._noted.get(what, (0, []))
            new = [shard.describe(position) for position in positions[: _SHOWN - len(shown)]]
            self._noted[what] = count + len(positions), shown + new

    def _warn(self) -> None:
        if self._others:
            self._noted["samples without an image, which are left out"] = self._others.total(), [self._content()]
        for what, (count, shown) in self._noted.items():
            logger.warning("%s: %s: %d (%s)", self._name, what, count, "; ".join(shown))

    def _name_people(self, text_N: NDArray[np.int64]) -> None:
        for shard, position in self._without_label:
            self._note(_NO_LABEL, self.shards[shard], [position])
        if not len(text_N):
            raise self._nothing_found()
        self._warn()
        if others := [f"{source} ({count})" for source, count in self._sources.items() if source != "cls"]:
            logger.warning(
                "%s: the labels of some images are not in a cls file, but in other files: %s",
                self._name,
                ", ".join(others),
            )
        label_N, self.identity_names, self.has_names = text_identities(
            list(self._texts), text_N, self._name, _only_folder(self.shards)
        )
        kept = np.flatnonzero(label_N != UNLABELED)
        self.num_unlabeled = len(label_N) - len(kept)
        self.labels = label_N[kept]
        self.shard_N, self.position_N = self.shard_N[kept], self.position_N[kept]

    def _people_by_folder(self) -> None:
        """Read the shards as an archive of a folder of people, in which the folders with images are the people."""
        members = [
            (number, position)
            for number, shard in enumerate(self.shards)
            for position in sorted(_images(group_samples(shard.names, IMAGE_EXTENSIONS).samples))
        ]
        if not members:
            raise self._nothing_found()
        folders = [
            self.shards[shard].names[position].removeprefix("./").rpartition("/")[0] for shard, position in members
        ]
        self._noted.pop(_BESIDE, None)
        self._others = Counter(
            {kind: count for kind, count in self._others.items() if kind.rpartition(".")[2] not in IMAGE_EXTENSIONS}
        )
        if not all(folders):
            raise DataError(
                f"{self._name}: the images have no labels: expected the person's number or name in a cls file of "
                f"the sample, or one folder per person; found {self._content()}"
            )
        self._warn()
        logger.warning("%s: no image has a label file, so the folders in it are read as people", self._name)
        different = sorted(set(folders))
        shared = os.path.commonpath(different) + "/" if len(different) > 1 and _is_shared(different) else ""
        names = [folder.removeprefix(shared) if shared else folder for folder in different]
        self.identity_names = [names[0].rpartition("/")[2]] if len(names) == 1 else names
        place_of = {folder: place for place, folder in enumerate(different)}
        self.shard_N, self.position_N = np.array(members, dtype=np.int64).T.copy()
        self.labels = np.array([place_of[folder] for folder in folders], dtype=np.int64)
        self.has_names = not all(map(is_digits, self.identity_names))
        self.num_unlabeled = 0

    def _nothing_found(self) -> DataError:
        pickled = "; pickled samples are never read" if _PICKLES & set(self._others) else ""
        return DataError(
            f"{self._name}: there are no samples with an image ({', '.join(IMAGE_EXTENSIONS)}) and a label in a "
            f"cls file{pickled}; found {self._content()}"
        )

    def _content(self) -> str:
        counts = [f"{kind} ({count})" for kind, count in sorted(self._others.items())[:10]]
        return ", ".join(counts) or f"{counted(len(self._without_label), 'image')} and nothing else"


def _images(samples: Iterable[dict[str, int]]) -> Iterator[int]:
    """The positions of all images; a sample may have several."""
    for sample in samples:
        yield from (position for kind, position in sample.items() if kind.rpartition(".")[2] in IMAGE_EXTENSIONS)


def _label(text: str | None, source: str) -> str | None:
    """The text of a label. None for an empty one, and for a `txt` file that is not a number, such as a caption."""
    stripped = (text or "").strip()
    if source == "txt" and whole_number(stripped) is None and not is_negative(stripped):
        return None
    return stripped or None


def _is_shared(folders: Iterable[str]) -> bool:
    """Whether all folders are in one common folder, which is then not a person."""
    folders = list(folders)
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # a mixture of absolute and relative names
        return False
    return bool(shared) and shared not in folders


def _only_folder(shards: Sequence[TarShard]) -> Path:
    """The folder of the shards, whose identities.txt has the names of all people. Raises DataError if there are several
    folders with different files."""
    folders = sorted({shard.path.parent for shard in shards})
    contents = [path.read_bytes() if (path := folder / FILE_NAME).is_file() else None for folder in folders]
    if len(set(contents)) > 1:
        other = folders[next(place for place, content in enumerate(contents) if content != contents[0])]
        raise DataError(
            f"the file {FILE_NAME} differs between {folders[0]} and {other}, so the same number would mean two "
            "people; convert each folder to a separate set"
        )
    return folders[0]
