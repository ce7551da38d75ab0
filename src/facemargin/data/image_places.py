"""Which images of a set the paths of an audit mean, wherever the set lies now. Shapes: N images."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from facemargin.data.findings import Finding
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError

_SEPARATOR = re.compile(r"[/\\]")


class ImagePlaces:
    """The images and labels that the `findings` and `groups` of an audit name, as numbers of `images`, which must be
    those that were audited (`AuditedData.require_same`). A set that was moved, or is named by another path, is found
    all the same: what all paths begin with may differ. Raises DataError for paths that the set does not have."""

    def __init__(
        self, images: LabeledImages, findings: Iterable[Finding], groups: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._images = images
        described_N = [images.describe(index) for index in range(len(images))]
        begin = _common_beginning(described_N) if len(described_N) > 1 else 0
        self._found: dict[str, list[int]] = defaultdict(list)
        for index, described in enumerate(described_N):
            self._found[described[begin:]].append(index)
        named = {path for finding in findings for path in (finding.path, finding.other_path)} - {""}
        named |= {path for paths in (groups or {}).values() for path in paths}
        self._begin = self._old_beginning(sorted(named), described_N[0][:begin] if described_N else "")

    def label(self, name: str) -> int:
        """The number of the person `name`."""
        if name not in self._labels:
            raise DataError(f"{self._images.name} has no person {name!r}, of whom the audit tells: audit it again")
        return self._labels[name]

    @cached_property
    def _labels(self) -> dict[str, int]:
        return _label_numbers(self._images)

    def of(self, path: str, label: str = "") -> list[int]:
        """The images at `path`, of the person `label` if it is given; more than one where a list names one twice."""
        found = self._found.get(path[self._begin :], [])
        if label:
            number = self.label(label)
            found = [index for index in found if self._images.labels[index] == number]
        if not found:
            of_whom = f" of {label!r}" if label else ""
            raise DataError(f"{self._images.name} has no image {path}{of_whom}, of which the audit tells: audit again")
        return found

    def other(self, finding: Finding) -> list[int]:
        """The images at its `other_path`; empty if it has none."""
        of_its_own = finding.label if finding.kind in ("duplicate", "merged") else ""
        return self.of(finding.other_path, finding.suggested or of_its_own) if finding.other_path else []

    def _old_beginning(self, named: Sequence[str], now: str) -> int:
        """How many letters all paths of the audit have before what tells the images apart: a folder, and then what
        paths have today, such as "train.rec record "."""
        if all(path.startswith(now) and path[len(now) :] in self._found for path in named):
            return len(now)
        for length in range(_common_beginning(named) + 1):
            same_name = _SEPARATOR.split(named[0][:length])[-1] == _SEPARATOR.split(now)[-1]
            if same_name and all(path[length:] in self._found for path in named):
                return length
        raise DataError(
            f"{self._images.name} names its images otherwise than the audit does, such as {named[0]}: audit it again"
        )


def _common_beginning(texts: Sequence[str]) -> int:
    """How many letters all texts begin with."""
    if not texts:
        return 0
    first, last = min(texts), max(texts)
    differing = (place for place, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return next(differing, min(len(first), len(last)))


def _label_numbers(images: LabeledImages) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for number, name in enumerate(images.identity_names):
        if numbers.setdefault(name, number) != number:
            raise DataError(f"{images.name}: two people are called {name!r}, so that findings could mean either")
    return numbers
