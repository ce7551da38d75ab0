"""Chooses the faces that a page shows beside each finding of an audit. Shapes: N images."""

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from facemargin.auditing import Audit, Finding
from facemargin.data.image_places import ImagePlaces
from facemargin.data.source import LabeledImages

_IN_A_STRIP = 6


@dataclass(frozen=True)
class Strip:
    """A row of faces with what they are. `images` are numbers of the set."""

    caption: str
    images: list[int]


class AuditFaces:
    """The strips of faces of each finding of `audit`, of the `images` that were audited."""

    def __init__(self, audit: Audit, images: LabeledImages) -> None:
        self._groups, self._places = audit.groups, ImagePlaces(images, audit, audit.groups)
        order = np.argsort(images.labels, kind="stable")
        ends = np.cumsum(np.bincount(images.labels, minlength=images.num_identities))
        self._of_label = np.split(order, ends[:-1])

    def strips(self, finding: Finding) -> list[Strip]:
        """The image itself, or both groups of a pair, and faces of the people that it is about."""
        image = self._places.of(finding.path, finding.label)[0]
        other = self._places.other(finding)
        match finding.kind:
            case "duplicate":
                kept = f"kept, labelled {finding.suggested}" if finding.suggested else "kept"
                return [Strip(f"the copy, labelled {finding.label}", [image]), Strip(kept, other[-1:])]
            case "split":
                return [
                    Strip(f"label {finding.label}", self._strip(finding.label, [image])),
                    Strip(f"label {finding.suggested}", self._strip(finding.suggested, other[:1])),
                ]
            case "merged":
                return self._both_groups(finding, image, other)
        strips = [
            Strip("the image", [image]),
            Strip(f"others of its label, {finding.label}", self._strip(finding.label, [], {image})),
        ]
        if finding.suggested:
            strips.append(Strip(f"suggested: {finding.suggested}", self._strip(finding.suggested, other[:1])))
        elif other:
            strips.append(Strip("most like it", other[:1]))
        return strips

    def _both_groups(self, finding: Finding, image: int, other: Sequence[int]) -> list[Strip]:
        paths = self._groups.get(finding.label, [])
        smaller = [index for path in paths for index in self._places.of(path, finding.label)]
        return [
            Strip(f"smaller group of {finding.label}", _spread(smaller, [image])),
            Strip("its other images", self._strip(finding.label, other[:1], set(smaller))),
        ]

    def _strip(self, label: str, first: Sequence[int], left_out: Set[int] = frozenset()) -> list[int]:
        images = self._of_label[self._places.label(label)].tolist()
        return _spread([index for index in images if index not in left_out], first)


def _spread(images: Sequence[int], first: Sequence[int]) -> list[int]:
    """`first`, and others drawn evenly from `images`, the same for every finding."""
    if len(images) > _IN_A_STRIP:
        images = [images[place] for place in np.linspace(0, len(images) - 1, _IN_A_STRIP).round().astype(int).tolist()]
    return [*first, *(index for index in images if index not in first)][:_IN_A_STRIP]
