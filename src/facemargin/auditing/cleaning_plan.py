"""Collects what accepted findings ask for, and says which contradict each other."""

from collections import defaultdict
from collections.abc import Callable

from facemargin.auditing.accepted import Accepted
from facemargin.auditing.decisions import Decision
from facemargin.data.image_places import ImagePlaces
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError


class CleaningPlan:
    """What is to be done with `images`, by number. `groups` are those of an `Audit`. `moves_wrong_labels`: images under
    a wrong label go to the one suggested, where there is one.

    `nobody` and `wrong` are dropped, `moved` get another label, `copies` {image: {the one to keep: why}} go where the
    other stays, `joined` are two labels of one person and `separated` {label: images of its second person}."""

    def __init__(
        self, images: LabeledImages, places: ImagePlaces, groups: dict[str, list[str]], moves_wrong_labels: bool
    ) -> None:
        self.images, self.places, self.groups = images, places, groups
        self.moves_wrong_labels = moves_wrong_labels
        self.nobody: dict[int, Accepted] = {}
        self.wrong: dict[int, Accepted] = {}
        self.moved: dict[int, Accepted] = {}
        self.copies: dict[int, dict[int, Accepted]] = defaultdict(dict)
        self.joined: list[tuple[int, int, Accepted]] = []
        self.apart: list[tuple[int, int, Decision]] = []
        self.separated: dict[int, tuple[set[int], Accepted]] = {}
        self.roots = list(range(images.num_identities))
        self.add_of: dict[str, Callable[[Accepted], str]] = {
            "duplicate": self._add_copy,
            "unrecognisable": self._add_nobody,
            "no_face": self._add_nobody,
            "mislabelled": self._add_wrong,
            "split": self._add_joined,
            "merged": self._add_separated,
        }

    def add(self, one: Accepted) -> str:
        """Why it cannot be done; empty if it is done."""
        return self.add_of[one.finding.kind](one)

    def keep_apart(self, decision: Decision) -> None:
        finding = decision.finding
        self.apart.append((self.places.label(finding.label), self.places.label(finding.suggested), decision))

    def root(self, label: int) -> int:
        """Which label stands for all that are joined with it."""
        while self.roots[label] != label:
            label = self.roots[label]
        return label

    def _add_copy(self, one: Accepted) -> str:
        finding = one.finding
        if not finding.other_path:
            return "it does not say which picture stays"
        kept = self.places.other(finding)[0]
        copies = [index for index in self.places.of(finding.path, finding.label) if index != kept]
        for index in copies:
            if (between := self._way(kept, index)) is not None:
                return f"of the two copies neither would be left, because of {between}"
        for index in copies:
            self.copies[index][kept] = one
        return ""

    def _way(self, start: int, end: int) -> Accepted | None:
        """By which finding `start` is dropped for `end`, perhaps with others between them."""
        waiting, seen = [start], {start}
        while waiting:
            for kept, one in self.copies.get(waiting.pop(), {}).items():
                if kept == end:
                    return one
                if kept not in seen:
                    seen.add(kept)
                    waiting.append(kept)
        return None

    def _add_nobody(self, one: Accepted) -> str:
        indices = self.places.of(one.finding.path, one.finding.label)
        for index in indices:
            if index in self.moved:
                return f"{self.moved[index]} says whom the image shows"
        self.nobody.update((index, one) for index in indices if index not in self.nobody)
        return ""

    def _add_wrong(self, one: Accepted) -> str:
        finding = one.finding
        indices = self.places.of(finding.path, finding.label)
        if not (self.moves_wrong_labels and finding.suggested):
            for index in indices:
                if index in self.moved:
                    return f"{self.moved[index]} says whom the image shows"
            self.wrong.update((index, one) for index in indices if index not in self.wrong)
            return ""
        self.places.label(finding.suggested)
        for index in indices:
            for other in (self.nobody.get(index), self.wrong.get(index)):
                if other is not None:
                    return f"{other} drops the image"
            before = self.moved.get(index)
            if before is not None and before.finding.suggested != finding.suggested:
                return f"{before} moves the image to another person"
        self.moved.update((index, one) for index in indices if index not in self.moved)
        return ""

    def _add_joined(self, one: Accepted) -> str:
        first, second = (self.places.label(name) for name in (one.finding.label, one.finding.suggested))
        roots = self.root(first), self.root(second)
        for label, (_, other) in self.separated.items():
            if self.root(label) in roots:
                return f"{other} makes two people of a label, and it is not known which of them this is"
        for a, b, decision in self.apart:
            if {self.root(a), self.root(b)} == set(roots) and roots[0] != roots[1]:
                return f"{decision.where} says that {decision.finding.label} and {decision.finding.suggested} are two"
        self.roots[max(roots)] = min(roots)
        self.joined.append((first, second, one))
        return ""

    def _add_separated(self, one: Accepted) -> str:
        name = one.finding.label
        label = self.places.label(name)
        for first, second, other in self.joined:
            if label in (first, second):
                return f"{other} joins the label with another, and it is not known which of the two people that is"
        if name not in self.groups:
            raise DataError(f"{one.where}: audit.json does not say which images of {name!r} are in the smaller group")
        indices = {index for path in self.groups[name] for index in self.places.of(path, name)}
        self.separated[label] = indices, one
        return ""
