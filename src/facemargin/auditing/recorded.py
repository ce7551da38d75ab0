"""The audit of a recording: what a training said of its own images. Shapes: V visits, N samples, C classes."""

from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.embedded import LISTED_LABELS
from facemargin.auditing.found import Found
from facemargin.auditing.planted import LISTED, Numbers, Posterior, posterior
from facemargin.auditing.space import Integers
from facemargin.auditing.visited import Visited, Weighted, nearer, visited
from facemargin.counting import counted
from facemargin.data.findings import Finding, Kind
from facemargin.data.source import LabeledImages
from facemargin.errors import DataError
from facemargin.recording import Recording

_FEW_VISITS = 3
# Less sure findings are many and mostly not right: a log knows a label less well than an embedding does.
_LISTED = 0.2


def audit_recording(recording: Recording, images: LabeledImages) -> Found:
    """Findings of the kinds mislabelled, split and unrecognisable. `images` are those of the training.

    Raises DataError if these are other images than those that were recorded."""
    names = list(images.identity_names)
    if not np.array_equal(images.labels, recording.labels) or names != recording.identity_names:
        raise DataError(
            f"{images.name} is not the set that was recorded: it has {counted(len(images), 'image')} of "
            f"{counted(len(names), 'person', 'people')}, the recording {counted(len(recording.labels), 'sample')} of "
            f"{counted(len(recording.identity_names), 'person', 'people')}, or they come in another order. Give the "
            "images as they were"
        )
    seen, found = visited(recording), Found()
    known_N = (seen.visits_N > 0) & np.isfinite(seen.target_N)
    if not known_N.any():
        raise DataError("the recording has no visit of a labelled image from which anything could be told")
    _mislabelled(seen, known_N, images, found)
    _split(seen, known_N, images, found)
    _unrecognisable(seen, known_N, images, found)
    _say_limits(recording, seen, known_N, found)
    return found


def _mislabelled(seen: Visited, known_N: NDArray[np.bool_], images: LabeledImages, found: Found) -> None:
    wrong = wrong_label(seen, known_N, images.num_identities)
    probability_N, least = wrong.probability_N, max(_LISTED, wrong.share)
    findings = []
    for image in np.flatnonzero(probability_N >= least).tolist():
        other = images.identity_names[int(seen.class_N[image])]
        is_nearer = seen.negative_N[image] > seen.target_N[image] and seen.stable_N[image] >= 0.5
        reason = (
            f"over its visits its cosine to {_person(images, image)} was {seen.all.own_N[image]:.2f}, to the nearest "
            f"other {seen.all.other_N[image]:.2f}: in the later half {other} in {100 * seen.stable_N[image]:.0f} % of "
            "them"
        )
        findings.append(
            _finding(images, image, "mislabelled", probability_N[image], other if is_nearer else "", reason)
        )
    found.add(
        "mislabelled",
        findings,
        "by how much another centre was nearer than its own, and more so if it was always the same one: means over all "
        "visits, weighted by how many images were nearest to their own centre at the time. How many labels are wrong "
        "is judged from the visits before the training learned labels by heart: what wrong ones look like is known "
        "from images that fit, as if they carried the label of the person they are most like, and as if that of a "
        "stranger. Listed are those that are more "
        f"likely wrong than an image drawn at random ({wrong.share:.2f}), from {_LISTED} on",
        least,
    )


def wrong_label(seen: Visited, known_N: NDArray[np.bool_], classes: int) -> Posterior:
    """The probability that each label (N,) is wrong, 0 where nothing is known: how probable the surest, the second and
    so on are follows from the early visits, and which images these are from all."""
    early_N = known_N & np.isfinite(seen.early.suspicion_N)
    early = posterior(seen.early.suspicion_N[early_N], planted_suspicions(seen.early, classes))
    sure_K = early.probability_N
    probability_N, number = np.zeros(len(known_N)), int(known_N.sum())
    ascending = np.flatnonzero(known_N)[np.argsort(seen.suspicion_N[known_N], kind="stable")]
    if len(sure_K):
        at = np.linspace(0, 1, number)
        probability_N[ascending] = np.interp(at, np.linspace(0, 1, len(sure_K)), np.sort(sure_K))
    return Posterior(probability_N, early.share)


def planted_suspicions(seen: Weighted, classes: int) -> Numbers:
    """How suspicious images that fit would be if they had the label of the other person they are most like, whose
    cosine changes places with their own, and that of a stranger: two of each image.

    Cosines to strangers are taken as normal around 0, with the deviation at which the median of the largest of them all
    is the hardest negative's cosine."""
    fits_N = seen.own_N > seen.other_N  # nan does not
    own_M, other_M = seen.own_N[fits_N], seen.other_N[fits_N]
    largest = NormalDist().inv_cdf(0.5 ** (1 / max(classes - 1, 2)))
    stranger_M = np.random.default_rng(0).normal(size=len(own_M)) * np.abs(other_M) / largest
    return np.concatenate([nearer(other_M - own_M), nearer(stranger_M - own_M)])


def _split(seen: Visited, known_N: NDArray[np.bool_], images: LabeledImages, found: Found) -> None:
    labels_N = images.labels
    findings = []
    for (first, second), both in likeness_of_labels(seen, known_N, labels_N, images.num_identities).items():
        if both >= max(LISTED_LABELS, 0.25):
            nearest = [_nearest(seen, labels_N, label) for label in (first, second)]
            reason = (
                f"images of either label were as near to the other's centre: {both:.2f} of 1 for images that show one "
                "person"
            )
            findings.append(
                Finding(
                    images.describe(nearest[0]),
                    "split",
                    both,
                    images.identity_names[first],
                    images.identity_names[second],
                    images.describe(nearest[1]),
                    reason,
                )
            )
    found.add(
        "split",
        findings,
        "the smaller of the two shares of images of one label whose hardest class is the other, times their relative "
        "cosine: a measure and no probability, from .25 on. A training moves the centres of one person's two labels "
        "apart, so that an audit of embeddings (--model) finds more",
        0.25,
    )
    found.kinds["split"] = replace(found.kinds["split"], estimated_precision=None)


def likeness_of_labels(
    seen: Visited, known_N: NDArray[np.bool_], labels_N: Integers, number: int
) -> dict[tuple[int, int], float]:
    """{(a, b): min(P(b|a), P(a|b))} for a < b: in what share of the images of one label the other was the hardest,
    times the similarity of the nearest other centre relative to the own."""
    size_C = np.bincount(labels_N[known_N], minlength=number)
    likeness_N = np.clip(seen.negative_N / np.maximum(seen.target_N, 1e-6), 0, 1) * seen.stable_N
    key_N = labels_N[known_N] * number + seen.class_N[known_N]
    keys, inverse = np.unique(key_N, return_inverse=True)
    share = {
        (int(key) // number, int(key) % number): float(total) / size_C[int(key) // number]
        for key, total in zip(keys, np.bincount(inverse, likeness_N[known_N]), strict=True)
    }
    return {
        (first, second): min(one, share[second, first])
        for (first, second), one in share.items()
        if first < second and (second, first) in share
    }


def _nearest(seen: Visited, labels_N: Integers, label: int) -> int:
    of_label = np.flatnonzero((labels_N == label) & np.isfinite(seen.target_N))
    return int(of_label[seen.target_N[of_label].argmax()])


def _unrecognisable(seen: Visited, known_N: NDArray[np.bool_], images: LabeledImages, found: Found) -> None:
    """Robust distances below the median, of target cosine, hardest negative and norm, and of a changing hardest class:
    the least of the first three counts, as all must be low."""
    below = [_below(values_N, known_N) for values_N in (seen.target_N, seen.negative_N, np.log(seen.norm_N + 1e-6))]
    low_N = np.min(below, axis=0) * (1.5 - np.nan_to_num(seen.stable_N, nan=1.0))
    # Where all three are low by chance, they are as often all high: that is what is expected without any such image.
    high = [_below(-values_N, known_N) for values_N in (seen.target_N, seen.negative_N, np.log(seen.norm_N + 1e-6))]
    high_N = np.min(high, axis=0) * (1.5 - np.nan_to_num(seen.stable_N, nan=1.0))
    ordinary = np.sort(high_N[known_N])
    findings = []
    lows = np.sort(low_N[known_N])
    for image in np.flatnonzero(known_N & (low_N > 1)).tolist():
        as_low = len(lows) - np.searchsorted(lows, low_N[image])
        by_chance = len(ordinary) - np.searchsorted(ordinary, low_N[image])
        score = float(np.clip(1 - (by_chance + 1) / (as_low + 1), 0, 1)) * float(1 - np.exp(-low_N[image]))
        if score >= LISTED:
            reason = (
                f"cosine {seen.target_N[image]:.2f} to its label and {seen.negative_N[image]:.2f} to the nearest "
                f"other, norm {seen.norm_N[image]:.3g}, all low; the nearest other was the same in "
                f"{100 * seen.stable_N[image]:.0f} % of the visits"
            )
            findings.append(_finding(images, image, "unrecognisable", score, "", reason))
    found.add(
        "unrecognisable",
        findings,
        "target cosine, hardest negative and norm all far below their medians, and a changing hardest class; how often "
        "that is chance is known from images of which all are far above",
    )


def _below(values_N: Numbers, known_N: NDArray[np.bool_]) -> Numbers:
    """How many robust deviations below the median."""
    median = np.median(values_N[known_N])
    deviation = 1.4826 * np.median(np.abs(values_N[known_N] - median))
    return np.asarray((median - values_N) / max(float(deviation), 1e-9))


def _say_limits(recording: Recording, seen: Visited, known_N: NDArray[np.bool_], found: Found) -> None:
    about: dict[str, Any] = recording.about
    if about.get("hardest_among") == "sampled classes":
        found.left_out.append(
            "the hardest negatives are those among each step's sampled classes: suggestions may miss the right person"
        )
    if about.get("negatives") == "re-weighted by the margin":
        found.left_out.append(
            "the margin re-weighted hard negatives in the loss; the cosines used here are those before"
        )
    if not known_N.all():
        number = int((~known_N).sum())
        found.left_out.append(f"{counted(number, 'image')} without a visit that could be used, such as unreadable ones")
    few = int((known_N & (seen.visits_N < _FEW_VISITS)).sum())
    if few:
        found.left_out.append(
            f"{counted(few, 'image')} with fewer than {_FEW_VISITS} visits in the later half: how stable the hardest "
            "class is says little of them (train longer)"
        )
    for first, last in recording.missing_steps:
        found.left_out.append(f"steps {first} to {last} were not recorded")


def _finding(images: LabeledImages, image: int, kind: Kind, score: float, suggested: str, reason: str) -> Finding:
    return Finding(images.describe(image), kind, float(score), _person(images, image), suggested, "", reason)


def _person(images: LabeledImages, image: int) -> str:
    return images.identity_names[int(images.labels[image])]
