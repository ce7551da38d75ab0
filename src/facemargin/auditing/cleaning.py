"""What becomes of every image of a set when findings of its audit are accepted.

Contradictions are resolved before anything is written: what was decided by hand goes before what a score decides, a
surer finding before one that is less sure; two contradicting decisions by hand are an error. Shapes: N images, M that
are kept, C labels before.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.accepted import Accepted, reason
from facemargin.auditing.cleaning_plan import CleaningPlan
from facemargin.auditing.decisions import Decision
from facemargin.auditing.result import Audit
from facemargin.counting import counted
from facemargin.data.formats.blocks import Blocks
from facemargin.data.image_places import ImagePlaces
from facemargin.data.source import ImageSubset, LabeledImages, WithLabels
from facemargin.errors import DataError

Action = Literal["kept", "dropped", "moved", "joined", "separated"]
WrongLabels = Literal["drop", "move"]

_DROPPED = -1
_MOST_NAMED = 20


@dataclass(frozen=True)
class Cleaning:
    """What becomes of `images`. `kept_M` are the images that stay, ascending, `labels_M` their people, numbers of
    `identity_names`. `actions_N` says what became of each image and `why` {image: reasons} for which findings.
    `not_applied` are sentences on findings that contradict surer ones; `emptied` are people who have no image left."""

    images: LabeledImages
    kept_M: NDArray[np.int64]
    labels_M: NDArray[np.int64]
    identity_names: list[str]
    actions_N: list[Action]
    why: dict[int, list[str]]
    not_applied: list[str]
    emptied: list[str]

    def counts(self) -> Counter[Action]:
        return Counter(self.actions_N)

    def cleaned(self) -> LabeledImages:
        """The images that stay, under their new labels."""
        view = WithLabels(ImageSubset(self.images, self.kept_M), self.labels_M, self.identity_names)
        view.has_names, view.num_unlabeled = self.images.has_names, self.images.num_unlabeled
        blocks = self.images.blocks
        if blocks is not None:
            starts_K = np.searchsorted(self.kept_M, blocks.starts_K)
            view.blocks = Blocks(starts_K, blocks.streams_K, len(self.kept_M))
        return view


def plan_cleaning(
    images: LabeledImages,
    audit: Audit,
    accepted: Sequence[Accepted],
    rejected: Sequence[Decision] = (),
    wrong_labels: WrongLabels = "drop",
) -> Cleaning:
    """What becomes of `images` when the findings `accepted` are acted on, which come in the order in which they count.

    - duplicate: `path` is dropped. If `other_path` is dropped for its wrong label, `path` has another, and no other
      copy stays, it stays.
    - unrecognisable, no_face: dropped.
    - mislabelled: dropped; with `wrong_labels` "move" it gets the label `suggested` where there is one. Nothing is done
      where the two labels are joined.
    - split: both labels become the one with more images.
    - merged: the smaller group of images gets a label of its own.

    Raises DataError if `images` are not those that were audited, and, naming both, if findings that were accepted by
    hand contradict each other.
    """
    audit.require_same_data(images)
    plan = CleaningPlan(images, ImagePlaces(images, audit, audit.groups), audit.groups, wrong_labels == "move")
    for decision in rejected:
        if decision.finding.kind == "split" and not decision.accepted:
            plan.keep_apart(decision)
    contradictions, not_applied = [], []
    for one in accepted:
        against = plan.add(one)
        if against and one.by_hand:
            contradictions.append(f"{one}: {against}")
        elif against:
            not_applied.append(f"{one}: {against}")
    if contradictions:
        more = len(contradictions) - _MOST_NAMED
        raise DataError(
            f"{counted(len(contradictions), 'decision')} {'contradicts' if len(contradictions) == 1 else 'contradict'} "
            "others; reject one of each two:\n"
            + "\n".join(contradictions[:_MOST_NAMED])
            + (f"\nand {more:,} more" if more > 0 else "")
        )
    return _Outcome(plan).cleaning(not_applied)


class _Outcome:
    """What a plan makes of every image: `labels_N`, _DROPPED where it goes, and `actions_N` and `why` as in
    `Cleaning`. `target_C` is the label that each label becomes; `second` {label: that of its second person}."""

    def __init__(self, plan: CleaningPlan) -> None:
        self.plan, self.images = plan, plan.images
        self.names = list(self.images.identity_names)
        self.target_C = self._targets()
        self.second = self._second_people()
        self.labels_N = self.target_C[self.images.labels]
        self.actions_N: list[Action] = ["kept"] * len(self.images)
        self.why: dict[int, list[str]] = defaultdict(list)
        self._relabel()
        self._drop()

    def cleaning(self, not_applied: list[str]) -> Cleaning:
        kept_M = np.flatnonzero(self.labels_N != _DROPPED)
        if not len(kept_M):
            raise DataError(f"{self.images.name}: no image would be left")
        used, labels_M = np.unique(self.labels_N[kept_M], return_inverse=True)
        had = np.unique(self.images.labels)
        empty = np.setdiff1d(self.target_C[had], used)
        return Cleaning(
            images=self.images,
            kept_M=kept_M,
            labels_M=labels_M.astype(np.int64),
            identity_names=[self.names[label] for label in used.tolist()],
            actions_N=self.actions_N,
            why=dict(self.why),
            not_applied=not_applied,
            emptied=[self.names[label] for label in empty.tolist()],
        )

    def _targets(self) -> NDArray[np.int64]:
        """Of the labels that are joined, the one with the most images; the first of several."""
        counts_C = np.bincount(self.images.labels, minlength=self.images.num_identities)
        root_C = [self.plan.root(label) for label in range(len(counts_C))]
        most: dict[int, int] = {}
        for label, root in enumerate(root_C):
            if root not in most or counts_C[label] > counts_C[most[root]]:
                most[root] = label
        return np.array([most[root] for root in root_C], dtype=np.int64)

    def _second_people(self) -> dict[int, int]:
        second = {}
        taken = set(self.names)
        for label in self.plan.separated:
            second[label] = len(self.names)
            self.names.append(self._new_name(self.names[label], taken))
            taken.add(self.names[-1])
        return second

    def _new_name(self, name: str, taken: set[str]) -> str:
        if not self.images.has_names:  # numbers stay numbers: a name would be taken for a person's
            return str(max((int(one) for one in taken if one.isdecimal()), default=-1) + 1)
        number = 2
        while f"{name} ({number})" in taken:
            number += 1
        return f"{name} ({number})"

    def _relabel(self) -> None:
        for first, other, one in self.plan.joined:
            for label in {first, other}:
                for index in np.flatnonzero(self.images.labels == label).tolist():
                    if self.target_C[label] != label:
                        self.actions_N[index] = "joined"
                        self.why[index].append(reason(one))
        for label, (indices, one) in self.plan.separated.items():
            for index in indices:
                self.labels_N[index], self.actions_N[index] = self.second[label], "separated"
                self.why[index].append(reason(one))
        for index, one in self.plan.moved.items():
            self._move(index, one)

    def _move(self, index: int, one: Accepted) -> None:
        places, finding = self.plan.places, one.finding
        to = places.label(finding.suggested)
        if self._are_joined(to, int(self.images.labels[index])):
            self.why[index].append(f"{reason(one)}; but the two labels are joined")
            return
        self.labels_N[index], self.actions_N[index] = self.target_C[to], "moved"
        self.why[index].append(reason(one))
        if to in self.second and finding.other_path:
            near = places.other(finding)[0]
            if near in self.plan.separated[to][0]:
                self.labels_N[index] = self.second[to]

    def _drop(self) -> None:
        wrong = {index for index in self.plan.wrong if not self._is_moot(index)}
        stays = self._stays(wrong)
        for index in sorted({*self.plan.nobody, *self.plan.wrong, *self.plan.copies}):
            copy_of = self.plan.copies.get(index, {})
            reasons = [reason(self.plan.nobody[index])] if index in self.plan.nobody else []
            reasons += [reason(self.plan.wrong[index])] if index in wrong else []
            if not stays[index]:
                reasons += [self._copy_reason(index, kept) for kept in copy_of]
                self.labels_N[index], self.actions_N[index], self.why[index] = _DROPPED, "dropped", reasons
                continue
            if index in self.plan.wrong:
                self.why[index].append(f"{reason(self.plan.wrong[index])}; but the two labels are joined")
            self.why[index] += [f"{reason(one)}; but the other is dropped, for its label" for one in copy_of.values()]

    def _stays(self, wrong: set[int]) -> dict[int, bool]:
        """Of images that may be dropped and those that they are copies of, whether they stay. What an image is a copy
        of is judged before it: a picture that shows nobody goes with all its copies, one that is dropped for a label
        that is `wrong` with its copies under that label; of the others, one stays."""
        plan, stays = self.plan, dict[int, bool]()
        nobody: set[int] = set()
        lost = set(wrong)
        remaining: set[int] = set()  # it stays, or another of the same picture does
        graph = {index: set(plan.copies.get(index, {})) for index in {*plan.nobody, *plan.wrong, *plan.copies}}
        for index in TopologicalSorter(graph).static_order():
            copy_of = graph.get(index, set())
            if index in plan.nobody or copy_of & nobody:
                nobody.add(index)
            if any(self._label(kept) == self._label(index) for kept in copy_of & lost):
                lost.add(index)
            stays[index] = index not in nobody and index not in lost and not copy_of & remaining
            if stays[index] or copy_of & remaining:
                remaining.add(index)
        return stays

    def _copy_reason(self, index: int, kept: int) -> str:
        one, labels_N = self.plan.copies[index][kept], self.images.labels
        joined = labels_N[index] != labels_N[kept] and self._are_joined(int(labels_N[index]), int(labels_N[kept]))
        return f"{reason(one)}; the two labels are joined" if joined else reason(one)

    def _label(self, index: int) -> int:
        """The label that an image is said to be wrong under or not: that it is moved to, or its own, joined."""
        return int(self.labels_N[index] if index in self.plan.moved else self.target_C[self.images.labels[index]])

    def _is_moot(self, index: int) -> bool:
        """Whether the label is not wrong, because it is joined with the one suggested."""
        suggested = self.plan.wrong[index].finding.suggested
        return bool(suggested) and self._are_joined(self.plan.places.label(suggested), int(self.images.labels[index]))

    def _are_joined(self, one: int, other: int) -> bool:
        return bool(self.target_C[one] == self.target_C[other])
