"""The audit of labelled embeddings: all kinds of findings. Shapes: N images, P pairs."""

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.copies import NEIGHBORS, Copies, copies
from facemargin.auditing.found import EmbeddedImages, Found, Progress, unseen
from facemargin.auditing.labels import Fits, fits, mislabelled
from facemargin.auditing.merged import LEAST_GROUP, merged_labels
from facemargin.auditing.people import LEAST_CUT, split_pairs
from facemargin.auditing.planted import LISTED, Numbers
from facemargin.auditing.plants import copy, no_face, plant, tiny
from facemargin.auditing.seen import decide_kinds
from facemargin.auditing.space import Floats, Integers, LabeledSpace
from facemargin.auditing.unusable import (
    Measured,
    Unusable,
    measured,
    measured_planted,
    sampled,
    unusable,
)
from facemargin.counting import counted
from facemargin.data.findings import Finding, Kind
from facemargin.data.source import ImageSource, ImageSubset
from facemargin.detection.detector import Detector
from facemargin.errors import DataError

LISTED_LABELS = 0.02
"""Labels that may be split or merged are listed from this probability on: there are few, and each concerns many
images."""
PLANTED = 200
"""How many pictures of each kind are planted."""

# From this probability on, two labels count as one person when images are asked which label they fit.
_LINKED = 0.5
# An image is suggested another label if it fits that by this share of the median fit of right labels: others fit
# nobody of the set.
_FITTING = 0.6


def audit_embeddings(
    faces: EmbeddedImages, detector: Detector | None = None, progress: Progress = unseen, only: set[Kind] | None = None
) -> Found:
    """All kinds of findings, or `only` some. Raises DataError where there is but one label."""
    labels_N = faces.images.labels[faces.rows_N]
    if len(np.unique(labels_N)) < 2:
        raise DataError(
            f"{faces.images.name} has readable images of {len(np.unique(labels_N))} label, expected 2 or more: an "
            "audit compares people"
        )
    space = LabeledSpace(
        faces.embeddings.vectors, faces.embeddings.norms, labels_N, faces.images.num_identities, faces.device
    )
    found = Found()
    linked = _split(faces, space, found)
    _merged(faces, space, found)
    with progress("comparing", "labels") as report:
        image_fits = fits(space, linked, report)
    wrong, suspicion_N = mislabelled(image_fits, space.weights_N)
    real = measured(space, faces.embeddings.quality)
    poor, tiny_faces = _poor(faces, space, real)
    # Nobody can say whose picture it is: not that its label is wrong.
    wrong_N = wrong.probability_N * (1 - poor.either())
    _mislabelled(faces, space, image_fits, wrong_N, (suspicion_N > 0) & (poor.either() < 0.5), found)
    _copies(faces, space, image_fits, wrong_N, found, progress)
    _unusable(faces, space, real, (poor, tiny_faces), detector, found, progress)
    if only is not None:
        found.findings = [finding for finding in found.findings if finding.kind in only]
        found.kinds = {kind: how for kind, how in found.kinds.items() if kind in only}
    return found


def _split(faces: EmbeddedImages, space: LabeledSpace, found: Found) -> Integers:
    """Adds the findings; returns pairs of labels (P, 2) that are one person."""
    pairs = split_pairs(space)
    centers_CD = space.centers()

    def nearest(label: int) -> str:
        members = space.members(label)
        return faces.path(members[int((space.vectors_ND[members] @ centers_CD[label]).argmax())])

    findings = []
    for number in np.flatnonzero(pairs.probability_P >= LISTED_LABELS).tolist():
        first, second = sorted(pairs.pairs_P2[number].tolist(), key=lambda label: (space.counts_C[label], label))
        reason = (
            f"images of the two labels are as alike ({pairs.cross_P[number]:.2f} on average) as those of one "
            f"({pairs.within_P[number]:.2f})"
        )
        score = float(pairs.probability_P[number])
        findings.append(
            Finding(nearest(first), "split", score, faces.person(first), faces.person(second), nearest(second), reason)
        )
    found.add(
        "split",
        findings,
        "mean cosine between the images of two labels less that within them, or that usual within labels where it is "
        "more; what one person looks like is known from labels that were cut in two",
        LISTED_LABELS,
    )
    alone = int((space.counts_C == 1).sum())
    if not pairs.num_planted:
        found.left_out.append(
            f"split: no label was judged, as none has {LEAST_CUT} or more images, from which to learn what one person "
            "looks like"
        )
    elif alone:
        found.left_out.append(f"split: {counted(alone, 'label')} with a single image {_were(alone)} not judged")
    linked: Integers = pairs.pairs_P2[pairs.probability_P >= _LINKED]
    return linked


def _merged(faces: EmbeddedImages, space: LabeledSpace, found: Found) -> None:
    merged = merged_labels(space, faces.embeddings.vectors)
    findings = []
    for number in np.flatnonzero(merged.probability >= LISTED_LABELS).tolist():
        label, groups = merged.labels[number], merged.groups[number]
        typical = [group[int((space.vectors_ND[group] @ space.vectors_ND[group].sum(0)).argmax())] for group in groups]
        reason = (
            f"its images are two groups of {len(groups[0]):,} and {len(groups[1]):,}, which are less alike "
            f"({merged.cross[number]:.2f} on average) than images within them ({merged.within[number]:.2f})"
        )
        score, name = float(merged.probability[number]), faces.person(label)
        findings.append(Finding(faces.path(typical[0]), "merged", score, name, "", faces.path(typical[1]), reason))
        found.groups[name] = [faces.path(image) for image in groups[0]]
    found.add(
        "merged",
        findings,
        "2-means of each label's images: mean cosine within the groups less that between them; what two people look "
        "like is known from labels that were put together",
        LISTED_LABELS,
    )
    few = int((space.counts_C > 0).sum()) - merged.num_judged
    if few:
        found.left_out.append(
            f"merged: {counted(few, 'label')} with fewer than {2 * LEAST_GROUP} images {_were(few)} not judged"
        )


def _mislabelled(
    faces: EmbeddedImages,
    space: LabeledSpace,
    image_fits: Fits,
    probability_N: Numbers,
    fits_other_N: NDArray[np.bool_],
    found: Found,
) -> None:
    own_N, other_N = image_fits.own_N / 2, image_fits.other_N / 2
    known_N = np.isfinite(own_N)
    good_N = known_N & (own_N > other_N)
    fitting = _FITTING * float(np.median(own_N[good_N])) if good_N.any() else np.inf
    findings = []
    for image in np.flatnonzero((probability_N >= LISTED) | (known_N & fits_other_N)).tolist():
        label = faces.person(int(space.labels_N[image]))
        other, like = faces.person(int(image_fits.other_class_N[image])), ""
        if image_fits.other_image_N[image] >= 0:
            like = faces.path(int(image_fits.other_image_N[image]))
        own, others = own_N[image], other_N[image]
        if others >= fitting and others > own:
            suggested = other
            reason = f"fits {other} ({others:.2f}) better than its label {label} ({own:.2f})"
        else:
            suggested = ""
            reason = f"fits nobody of the set well: its label {label} {own:.2f}, the nearest, {other}, {others:.2f}"
        score = float(probability_N[image])
        findings.append(Finding(faces.path(image), "mislabelled", score, label, suggested, like, reason))
    found.add(
        "mislabelled",
        findings,
        "how well an image fits its own label, without itself, and the best other: mean of the cosines to the label's "
        "centre and to its three most similar images, times √norm; what wrong labels look like is known from images "
        "that were given the other label that they fit best, or any, as strangers. Images that fit another label "
        "better are always listed, unless they are likely to be unrecognisable",
    )
    if not known_N.all():
        alone = int((~known_N).sum())
        found.left_out.append(
            f"mislabelled: {counted(alone, 'image')}, the only {'one of its' if alone == 1 else 'ones of their'} "
            f"label, {_were(alone)} not judged"
        )


def _copies(
    faces: EmbeddedImages,
    space: LabeledSpace,
    image_fits: Fits,
    wrong_N: Numbers,
    found: Found,
    progress: Progress,
) -> None:
    pictures = ImageSubset(faces.images, faces.rows_N)
    planted, originals_M = plant(pictures, sampled(len(space), PLANTED), copy)
    vectors_MD = faces.embed(planted).vectors
    made = [planted.read(number) for number in range(len(planted))]
    with progress("laying over", "pairs") as report:
        pairs = copies(space, pictures, (vectors_MD, originals_M, made), image_fits.other_image_N, report)
    findings = duplicate_findings(faces, space.labels_N, pairs, wrong_N, faces.embeddings.quality)
    compared = (
        f"every image and the {NEIGHBORS} most similar of all"
        if pairs.everywhere
        else f"every image and the {NEIGHBORS} most similar of its label and the most similar of the other label that "
        "it fits best (more would take too long on this device)"
    )
    found.add(
        "duplicate",
        findings,
        f"{compared}, laid over each other: correlation of grey values and cosine of embeddings; what copies look like "
        "is known from images that were encoded again, mirrored, cut, scaled and brightened",
    )


def duplicate_findings(
    faces: EmbeddedImages, labels_N: Integers, pairs: Copies, wrong_N: Numbers, quality_N: Floats | None
) -> list[Finding]:
    """One finding an image that is superfluous: of two, the one with the likelier wrong label, then the poorer one."""
    poorness_N = -quality_N if quality_N is not None else np.zeros(len(labels_N))
    rank_N = np.lexsort((np.arange(len(labels_N)), poorness_N, wrong_N >= 0.5))
    place_N = np.empty(len(rank_N), np.int64)
    place_N[rank_N] = np.arange(len(rank_N))
    best: dict[int, Finding] = {}
    for number in np.argsort(-pairs.probability_P, kind="stable").tolist():
        if pairs.probability_P[number] < LISTED:
            break
        keep, drop = sorted(pairs.pairs_P2[number].tolist(), key=lambda image: place_N[image])
        if drop in best:
            continue
        labels = [faces.person(int(labels_N[image])) for image in (drop, keep)]
        across = labels_N[drop] != labels_N[keep]
        how = "mirrored, " if pairs.mirrored_P[number] else ""
        whose = f" of {labels[1]}: one of the labels is wrong" if across else ""
        reason = f"the same picture ({how}correlation {pairs.correlation_P[number]:.3f}) as another{whose}"
        best[drop] = Finding(
            faces.path(drop), "duplicate", float(pairs.probability_P[number]), labels[0],
            labels[1] if across else "", faces.path(keep), reason,
        )  # fmt: skip
    return list(best.values())


def _poor(faces: EmbeddedImages, space: LabeledSpace, real: Measured) -> tuple[Unusable, ImageSource]:
    """What embeddings say, and the planted faces of 8 pixels."""
    pictures, made, planted = ImageSubset(faces.images, faces.rows_N), [], []
    for make in (tiny, no_face):
        pictures_M, originals_M = plant(pictures, sampled(len(space), PLANTED), make)
        embeddings = faces.embed(pictures_M)
        made.append(pictures_M)
        planted.append(measured_planted(space, embeddings.vectors, embeddings.quality, originals_M))
    return unusable(real, *planted), made[0]


def _unusable(
    faces: EmbeddedImages,
    space: LabeledSpace,
    real: Measured,
    both: tuple[Unusable, ImageSource],
    detector: Detector | None,
    found: Found,
    progress: Progress,
) -> None:
    with progress("looking for faces in" if detector else "judging", "images") as report:
        decided, sharp = decide_kinds(both[0], ImageSubset(faces.images, faces.rows_N), both[1], detector, report)
    poor: list[Finding] = []
    none: list[Finding] = []
    for image, seen in decided.items():
        words = (
            f"quality {real.quality[image]:.3g} (median {np.median(real.quality):.3g}), cosine "
            f"{real.own[image]:.2f} to its label, {real.nearest[image]:.2f} to the nearest, "
        )
        words += "one colour" if np.isnan(seen.detail) else f"detail {seen.detail:.3f} (of faces of 8 pixels about .01)"
        if seen.face is not None:
            words += "; the detector finds a face" if seen.face else "; the detector finds no face"
        label = faces.person(int(space.labels_N[image]))
        (none if seen.is_none else poor).append(
            Finding(faces.path(image), "no_face" if seen.is_none else "unrecognisable", seen.score, label, reason=words)
        )
    measures = (
        "quality and the cosines to its own and the nearest label, together, and the quality alone if it tells such "
        "images"
    )
    looked = "" if detector is None else f", or sharp, and without a face for the detector {detector.name}"
    found.add(
        "unrecognisable",
        poor,
        f"{measures}; then how blurred the picture is; what such images look like is known from faces of 8 pixels",
    )
    found.add(
        "no_face",
        none,
        f"{measures}: like noise, plain colours, blobs, shuffled faces and corners of pictures, which are planted"
        + (looked or "; no detector looked"),
    )
    if sharp:
        found.left_out.append(
            f"unrecognisable: {counted(sharp, 'image')} that the model does not recognise {_were(sharp)} not listed: "
            "too sharp, or a face is found, such as turned, covered and badly aligned ones"
        )


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
