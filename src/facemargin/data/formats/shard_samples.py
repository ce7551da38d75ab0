"""Which members of tar shards are images of whom. Shapes: N images."""

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
"""Those of images; of a sample with several, the first in this order is its image."""

_PICKLES = frozenset({"pyd", "pkl", "pickle", "pth"})
_SHOWN = 5

_REPEATED = "members whose name occurs before, which are not read"
_DOTTED = (
    "images with dots in their names, read as samples of their own (WebDataset itself cuts names at the first dot)"
)
_BESIDE = "images beside the first of their sample, which are not read"
_NO_LABEL = "images left out for want of a label (a person's number or name in a cls file, or a label in a json file)"

logger = logging.getLogger(__name__)


class Samples:
    """The images of `shards`: `shard_N` and `position_N` say where, `labels` (N,), `identity_names` and `has_names` of
    whom they are, and `num_unlabeled` how many were left out because their label is −1.

    An image's label is the text in the `cls` file of its sample; where there is none, the label in its `json` file, or
    the whole number in its `txt`. Shards without any such file are an archive of a folder of people. All that is not
    read is counted in logged warnings. Raises DataError where no image has a label.
    """

    def __init__(self, shards: Sequence[TarShard], name: str) -> None:
        self.shards = shards
        self._name = name
        self._texts: dict[str, int] = {}
        self._sources: Counter[str] = Counter()
        self._others: Counter[str] = Counter()
        self._noted: dict[str, tuple[int, list[str]]] = {}
        self._without_label: list[tuple[int, int]] = []
        found: list[NDArray[np.int64]] = []
        has_label_files = False
        for number, shard in enumerate(shards):
            own, labeled = self._read(number, shard)
            has_label_files |= labeled
            # Readers go through compressed shards, so a shard's images are in the order of the file.
            found.append(np.array(sorted(own), dtype=np.int64).reshape(-1, 3))
            shard.labels = {}  # of millions of samples, they would take a gigabyte that nobody needs any more
        if has_label_files or any(len(own) for own in found):
            self.shard_N, self.position_N, text_N = np.concatenate(found).T.copy()
            self._name_people(text_N)
        else:
            self._people_by_folder()

    def member(self, index: int) -> tuple[TarShard, int]:
        """The shard and the position in it of image `index`."""
        return self.shards[self.shard_N[index]], int(self.position_N[index])

    def _read(self, number: int, shard: TarShard) -> tuple[list[tuple[int, int, int]], bool]:
        """(shard, position, number of the label's text) of every labelled image, and whether any sample has a label."""
        own: list[tuple[int, int, int]] = []
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
                own.append((number, images[0], self._texts.setdefault(text, len(self._texts))))
        self._note(_BESIDE, shard, passed_over)
        return own, has_label_files

    def _note(self, what: str, shard: TarShard, positions: Sequence[int]) -> None:
        """Take note of members to warn of."""
        if positions:
            count, shown = self._noted.get(what, (0, []))
            new = [shard.describe(position) for position in positions[: _SHOWN - len(shown)]]
            self._noted[what] = count + len(positions), shown + new

    def _warn(self) -> None:
        if self._others:
            self._noted["samples without an image, which are left out"] = self._others.total(), [self._found()]
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
                "%s: images whose label is not in a cls file, but in another: %s", self._name, ", ".join(others)
            )
        label_N, self.identity_names, self.has_names = text_identities(
            list(self._texts), text_N, self._name, _only_folder(self.shards)
        )
        kept = np.flatnonzero(label_N != UNLABELED)
        self.num_unlabeled = len(label_N) - len(kept)
        self.labels = label_N[kept]
        self.shard_N, self.position_N = self.shard_N[kept], self.position_N[kept]

    def _people_by_folder(self) -> None:
        """Of an archive of a folder of people: people are the folders that hold images."""
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
                f"{self._name}: its images have no label, neither in a cls file of their sample (a person's number or "
                f"name) nor by lying in a folder of their person; found {self._found()}"
            )
        self._warn()
        logger.warning("%s: no image has a label file, so the folders in it are taken as people", self._name)
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
            f"{self._name}: no samples of an image ({', '.join(IMAGE_EXTENSIONS)}) with a label in a cls file"
            f"{pickled}; found {self._found()}"
        )

    def _found(self) -> str:
        counts = [f"{kind} ({count})" for kind, count in sorted(self._others.items())[:10]]
        return ", ".join(counts) or f"{counted(len(self._without_label), 'image')} and nothing else"


def _images(samples: Iterable[dict[str, int]]) -> Iterator[int]:
    """The positions of all images, also of several in one sample."""
    for sample in samples:
        yield from (position for kind, position in sample.items() if kind.rpartition(".")[2] in IMAGE_EXTENSIONS)


def _label(text: str | None, source: str) -> str | None:
    """A label's text; None for an empty one, and for a `txt` that may be anything, such as a caption."""
    stripped = (text or "").strip()
    if source == "txt" and whole_number(stripped) is None and not is_negative(stripped):
        return None
    return stripped or None


def _is_shared(folders: Iterable[str]) -> bool:
    """Whether the folders lie in one, which then is none of them."""
    folders = list(folders)
    try:
        shared = os.path.commonpath(folders)
    except ValueError:  # absolute and relative names
        return False
    return bool(shared) and shared not in folders


def _only_folder(shards: Sequence[TarShard]) -> Path:
    """The folder of the shards, whose identities.txt has the names of all; DataError where several folders differ in
    it."""
    folders = sorted({shard.path.parent for shard in shards})
    contents = [path.read_bytes() if (path := folder / FILE_NAME).is_file() else None for folder in folders]
    if len(set(contents)) > 1:
        other = folders[next(place for place, content in enumerate(contents) if content != contents[0])]
        raise DataError(
            f"{folders[0]} and {other} do not have the same {FILE_NAME}: the same number would be two people; convert "
            "each to a set of its own"
        )
    return folders[0]
