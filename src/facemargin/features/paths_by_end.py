"""Finding images in a file that another tool, or an earlier run, wrote: by the end of their paths.

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
    """Positions in `paths` of a `file`, which may be absolute or begin anywhere in the tree that the images lie in, as
    written on any system. Raises DataError, naming it, for a path that is there twice."""

    def __init__(self, paths: Sequence[str], file: Path) -> None:
        self.file = file
        self._paths = [str(path) for path in paths]
        # Names of either Unicode normal form, unless two paths differ in it alone: then each is as it is written.
        self._written_either_way = len({one_form(path) for path in self._paths}) == len(set(self._paths))
        self._parts = [self._form(_parts(path)) for path in self._paths]
        self._index: dict[Parts, int] = {}
        for index, parts in enumerate(self._parts):
            first = self._index.setdefault(parts, index)
            if first != index:
                count = self._parts.count(parts)
                raise DataError(
                    f"{file}: the path {self._paths[index]!r} is there {count} times (first in entries {first + 1} and "
                    f"{index + 1}), so that it is not known which is whose; write more of each path, or each image once"
                )
        self._by_length: dict[int, dict[Parts, list[int]]] = {}

    def find(self, images: ImageSource, what: str) -> NDArray[np.int64]:
        """The positions (N,) of `what` of the images.

        A path is an image's that is the whole end of it; else one that agrees with it from the folder of `images` on,
        such as the absolute path of another machine, which is said. Raises DataError, naming them, for an image without
        a path, with several, and for two images with one.
        """
        names = [images.describe(index) for index in range(len(images))]
        paths = [self._form(Path(name).absolute().parts) for name in names]
        root = self._form(Path(images.name).absolute().parts)
        found = [self._ends_of(path) for path in paths]
        beginnings: dict[Parts, int] = {}
        for index, path in enumerate(paths):
            if not found[index] and path[: len(root)] == root:
                agreeing = path[len(root) - 1 :]
                found[index] = self._with_end(agreeing)
                for place in found[index]:
                    beginnings.setdefault(self._parts[place][: -len(agreeing)], place)
        if [] in found:
            self._refuse_missing([index for index, places in enumerate(found) if not places], names, paths, what)
        chosen = [places[0] for places in found]
        self._require_one_to_one(found, names)
        if beginnings:
            self._say_beginnings(beginnings, root)
        return np.array(chosen, dtype=np.int64)

    def _form(self, parts: Parts) -> Parts:
        return tuple(map(one_form, parts)) if self._written_either_way else parts

    def _ends_of(self, path: Parts) -> list[int]:
        """All paths that are the end of `path`, the longest first."""
        ends = (path[start:] for start in range(len(path)))
        return [self._index[end] for end in ends if end in self._index]

    def _with_end(self, end: Parts) -> list[int]:
        if len(end) not in self._by_length:
            by_end: dict[Parts, list[int]] = {}
            for place, parts in enumerate(self._parts):
                by_end.setdefault(parts[-len(end) :], []).append(place)
            self._by_length[len(end)] = by_end
        return list(self._by_length[len(end)].get(end, []))

    def _require_one_to_one(self, found: Sequence[Sequence[int]], names: Sequence[str]) -> None:
        image_of: dict[int, str] = {}
        for places, name in zip(found, names, strict=True):
            other = image_of.setdefault(places[0], name)
            if os.path.abspath(other) != os.path.abspath(name):  # noqa: PTH100 (not through links)
                raise DataError(
                    f"{self.file}: {self._paths[places[0]]} is the end of two images' paths, {other} and {name}; write "
                    "more of the path, so that it is one's"
                )
        for places, name in zip(found, names, strict=True):
            # a shorter path that is another image's, as a/1.jpg beside b/a/1.jpg, is no doubt
            unused = [place for place in places[1:] if place not in image_of]
            if unused:
                raise DataError(
                    f"{self.file}: both {self._paths[places[0]]} and {self._paths[unused[0]]} are the end of {name}; "
                    "expected one path for each image"
                )

    def _say_beginnings(self, beginnings: dict[Parts, int], root: Parts) -> None:
        first, *others = ("/".join(one).replace("//", "/") or "nothing" for one in beginnings)
        if others:
            raise DataError(
                f"{self.file}: its paths begin with {first}, and with {others[0]}, where the images begin with "
                f"{_joined(root[:-1])}; expected one beginning"
            )
        logger.warning(
            "%s: its paths begin with %s, the images with %s; they were matched from %s on",
            self.file, first, _joined(root[:-1]), root[-1],
        )  # fmt: skip

    def _refuse_missing(self, missing: Sequence[int], names: Sequence[str], paths: Sequence[Parts], what: str) -> None:
        name, path = names[missing[0]], paths[missing[0]]
        raise DataError(
            f"{self.file} holds no {what} of {name} ({len(missing):,} of {counted(len(names), 'image')} missing): "
            f"{self._likest(path) if len(missing) == len(names) else 'it has those of the others'}"
        )

    def _likest(self, path: Parts) -> str:
        """What the path that has the most of the end of `path` has else."""
        count = f"its {len(self._paths):,} paths" if len(self._paths) != 1 else "its one path"
        lengths = [_common_end(path, parts) for parts in self._parts]
        longest = max(lengths, default=0)
        if longest:
            place = lengths.index(longest)
            theirs, ours = self._parts[place][:-longest], path[:-longest]
            return (
                f"the likest of {count}, {self._paths[place]}, begins with {_joined(theirs)} where the image begins "
                f"with {_joined(ours)}; write paths that begin anywhere in the image's, as {'/'.join(path[-longest:])}"
            )
        name = PurePosixPath(path[-1])
        for known, parts in zip(self._paths, self._parts, strict=True):
            if parts and PurePosixPath(parts[-1]).stem == name.stem:
                return f"the likest of {count}, {known}, does not end in {name.suffix}"
        return f"none of {count} ends with its name"


def _parts(path: str) -> Parts:
    """As on this system; a path with backslashes alone is of another."""
    return PurePosixPath(path.replace("\\", "/") if "/" not in path else path).parts


def _joined(parts: Parts) -> str:
    return str(PurePosixPath(*parts)) if parts else "nothing"


def _common_end(one: Parts, other: Parts) -> int:
    return next(
        (n for n, (a, b) in enumerate(zip(one[::-1], other[::-1], strict=False)) if a != b), min(len(one), len(other))
    )
