"""Finds images in a file of another tool, or of an earlier run, by the end of their paths.

Shapes: N images.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.source import ImageSource
from facemargin.errors import DataError
from facemargin.files.unicode_names import one_form

Parts = tuple[str, ...]

logger = logging.getLogger(__name__)


class PathsByEnd:
    """Finds positions in the `paths` of a `file`. The paths may be absolute or begin at any folder above the images,
    and may come from any system. Raises DataError, which names the path, for a path that occurs twice."""

    def __init__(self, paths: Sequence[str], file: Path) -> None:
        self.file = file
        self._paths = [str(path) for path in paths]
        # Names match in any Unicode normal form, unless two paths differ in it only: then they must match exactly.
        self._written_either_way = len({one_form(path) for path in self._paths}) == len(set(self._paths))
        self._parts = [self._form(_parts(path)) for path in self._paths]
        self._index: dict[Parts, int] = {}
        for index, parts in enumerate(self._parts):
            first = self._index.setdefault(parts, index)
            if first != index:
                count = self._parts.count(parts)
                raise DataError(
                    f"{file}: the path {self._paths[index]!r} occurs {count} times (first in entries {first + 1} "
                    f"and {index + 1}), so it is not clear which entry belongs to which image; write longer "
                    "paths, or each image only once"
                )
        self._by_length: dict[int, dict[Parts, list[int]]] = {}

    def find(self, images: ImageSource, what: str) -> NDArray[np.int64]:
        """The positions (N,) of the images' entries (`what` names the entries in messages).

        A path belongs to an image if the image's path ends with it; otherwise if both are equal from the folder of
        `images` on, such as the absolute path on another machine, which is logged. Raises DataError, which names them,
        for an image with no path or several, and for two images with the same path.
        """
        names = [images.describe(index) for index in range(len(images))]
        paths = [self._form(Path(name).absolute().parts) for name in names]
        root = self._form(Path(images.name).absolute().parts)
        candidates = [self._ends_of(path) for path in paths]
        beginnings: dict[Parts, int] = {}
        for index, path in enumerate(paths):
            if not candidates[index] and path[: len(root)] == root:
                agreeing = path[len(root) - 1 :]
                candidates[index] = self._with_end(agreeing)
                for place in candidates[index]:
                    beginnings.setdefault(self._parts[place][: -len(agreeing)], place)
        if [] in candidates:
            self._refuse_missing([index for index, places in enumerate(candidates) if not places], names, paths, what)
        chosen = [places[0] for places in candidates]
        self._require_one_to_one(candidates, names)
        if beginnings:
            self._say_beginnings(beginnings, root)
        return np.array(chosen, dtype=np.int64)

    def _form(self, parts: Parts) -> Parts:
        return tuple(map(one_form, parts)) if self._written_either_way else parts

    def _ends_of(self, path: Parts) -> list[int]:
        """All paths with which `path` ends, the longest first."""
        ends = (path[start:] for start in range(len(path)))
        return [self._index[end] for end in ends if end in self._index]

    def _with_end(self, end: Parts) -> list[int]:
        if len(end) not in self._by_length:
            by_end: dict[Parts, list[int]] = {}
            for place, parts in enumerate(self._parts):
                by_end.setdefault(parts[-len(end) :], []).append(place)
            self._by_length[len(end)] = by_end
        return list(self._by_length[len(end)].get(end, []))

    def _require_one_to_one(self, candidates: Sequence[Sequence[int]], names: Sequence[str]) -> None:
        image_of: dict[int, str] = {}
        for places, name in zip(candidates, names, strict=True):
            other = image_of.setdefault(places[0], name)
            if os.path.abspath(other) != os.path.abspath(name):  # noqa: PTH100 (not through links)
                raise DataError(
                    f"{self.file}: {self._paths[places[0]]} is the end of the paths of two images, {other} and "
                    f"{name}; write a longer path, which fits only one of them"
                )
        for places, name in zip(candidates, names, strict=True):
            # a shorter path that belongs to another image, such as a/1.jpg besides b/a/1.jpg, is not ambiguous
            unused = [place for place in places[1:] if place not in image_of]
            if unused:
                raise DataError(
                    f"{self.file}: both {self._paths[places[0]]} and {self._paths[unused[0]]} are the end of {name}; "
                    "expected one path for each image"
                )

    def _say_beginnings(self, beginnings: dict[Parts, int], root: Parts) -> None:
        first, *others = ("/".join(beginning).replace("//", "/") or "nothing" for beginning in beginnings)
        if others:
            raise DataError(
                f"{self.file}: some of its paths begin with {first}, others with {others[0]}, while those of the "
                f"images begin with {_joined(root[:-1])}; expected the same beginning for all"
            )
        logger.warning(
            "%s: its paths begin with %s, but those of the images with %s; they were matched from the folder %s on",
            self.file, first, _joined(root[:-1]), root[-1],
        )  # fmt: skip

    def _refuse_missing(self, missing: Sequence[int], names: Sequence[str], paths: Sequence[Parts], what: str) -> None:
        name, path = names[missing[0]], paths[missing[0]]
        raise DataError(
            f"{self.file} holds no {what} of {name} ({len(missing):,} of {counted(len(names), 'image')} missing): "
            f"{self._likest(path) if len(missing) == len(names) else 'it has those of the other images'}"
        )

    def _likest(self, path: Parts) -> str:
        """Describes the most similar path, for the message about a missing image."""
        count = f"its {len(self._paths):,} paths" if len(self._paths) != 1 else "its one path"
        lengths = [_common_end(path, parts) for parts in self._parts]
        longest = max(lengths, default=0)
        if longest:
            place = lengths.index(longest)
            theirs, ours = self._parts[place][:-longest], path[:-longest]
            return (
                f"the most similar of {count}, {self._paths[place]}, begins with {_joined(theirs)}, but that of "
                f"the image with {_joined(ours)}; write paths that are an end of the image's path, such as "
                f"{'/'.join(path[-longest:])}"
            )
        name = PurePosixPath(path[-1])
        for known, parts in zip(self._paths, self._parts, strict=True):
            if parts and PurePosixPath(parts[-1]).stem == name.stem:
                return f"the most similar of {count}, {known}, does not end in {name.suffix}"
        return f"none of {count} ends with its name"


def _parts(path: str) -> Parts:
    """The parts of a path as on this system. A path with backslashes only comes from another system."""
    return PurePosixPath(path.replace("\\", "/") if "/" not in path else path).parts


def _joined(parts: Parts) -> str:
    return str(PurePosixPath(*parts)) if parts else "nothing"


def _common_end(first: Parts, second: Parts) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(first[::-1], second[::-1], strict=False)) if a != b),
        min(len(first), len(second)),
    )
