"""Which kind an audit says of planted errors of every kind: a confusion matrix.

Claim: at the listed threshold, at least nine in ten of every kind of planted error are found as what they are.

Into a set with the same number of images of everybody are planted, in different images and people: labels swapped
(5 %, uniformly), faces of 8 pixels (5 %), noise (1 %), copies under the same label (1 %), people cut in two (5 %), and
pairs of people put together (as many). The set's own errors, and ordinary images that are found, are in the rows of
what was not touched. `python benchmarks/audit_kinds.py FACES SET.npz [--model sface] [--seed 0]`; the .npz has
`vectors` (N, D) of unit length, `norms` (N,) and `indices` (N,) of images of FACES, embedded by the model.
"""

import argparse
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from measure import machine
from numpy.typing import NDArray

import facemargin as fm
from facemargin.auditing.embedded import audit_embeddings
from facemargin.auditing.found import EmbeddedImages, Found
from facemargin.auditing.plants import copy
from facemargin.data.source import ArrayImages, LabeledImages, RGBImage, WithLabels
from facemargin.detection.detector import DETECTORS, Detector, create_detector
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embeddings

Integers = NDArray[np.int64]
IMAGE_KINDS = ("mislabelled", "duplicate", "unrecognisable", "no_face")
SURE = 0.5


@dataclass(frozen=True)
class Planted:
    """What was done to every image, and the true people: `split` pairs and `merged` labels, and the originals of
    copies."""

    images: WithLabels
    row_N: list[str]
    changed: Integers
    split: set[frozenset[str]]
    merged: set[str]
    originals: dict[int, int]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("faces")
    parser.add_argument("set", type=Path)
    parser.add_argument("--model", default="sface")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without-detector", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with np.load(arguments.set) as arrays:
        vectors_ND, norms_N, indices_N = arrays["vectors"], arrays["norms"], arrays["indices"]
    planted = plant(fm.open_images(arguments.faces), indices_N, arguments.seed)
    model = fm.load(arguments.model)
    changed = model.embed(ArrayImages([planted.images.read(int(image)) for image in planted.changed], "planted"))
    copies = len(planted.images) - len(vectors_ND)
    embeddings = Embeddings(
        *(
            np.concatenate([whole, np.zeros((copies, *whole.shape[1:]), np.float32)]).astype(np.float32)
            for whole in (vectors_ND, norms_N, norms_N)
        )
    )
    for whole, part in zip(
        (embeddings.vectors, embeddings.norms, embeddings.quality),
        (changed.vectors, changed.norms, changed.quality),
        strict=True,
    ):
        whole[planted.changed] = part
    detector = None if arguments.without_detector else installed_detector()
    faces = EmbeddedImages(planted.images, embeddings, np.arange(len(planted.images)), model.embed, model.device)
    found = audit_embeddings(faces, detector)
    print(
        f"{machine()}; {arguments.model}, seed {arguments.seed}, "
        + ("no detector" if detector is None else f"detector {detector.name}")
    )
    print(f"\n{len(vectors_ND):,} images and {copies} copies of {planted.images.num_identities} labels.")
    print(f"Found as listed, in brackets with a probability of {SURE} or more.\n")
    print_images(planted, found)
    print_labels(planted, found)
    print_precision(planted, found)


def installed_detector() -> Detector | None:
    for name in sorted(DETECTORS.names()):
        try:
            return create_detector(name)
        except ConfigError:
            continue
    return None


def plant(faces: LabeledImages, indices_N: Integers, seed: int) -> Planted:
    """Errors in a set; `changed` are the images that must be embedded (again)."""
    generator = np.random.default_rng(seed)
    labels_N = np.unique(faces.labels[indices_N], return_inverse=True)[1].astype(np.int64)
    number, people = len(labels_N), int(labels_N.max()) + 1
    pictures: list[RGBImage] = [faces.read(int(index)) for index in indices_N]
    rows = ["untouched"] * number
    few = max(1, round(0.05 * people))
    cut_people, joined_people = np.split(generator.permutation(people)[: 3 * few], [few])
    for name, drawn in (("of a split person", cut_people), ("of a merged label", joined_people)):
        for image in np.flatnonzero(np.isin(labels_N, drawn)):
            rows[image] = name
    order = generator.permutation(np.flatnonzero(~np.isin(labels_N, [*cut_people, *joined_people])))
    five, one = round(0.05 * number), round(0.01 * number)
    swapped, tiny, noise, copied = np.split(order[: 2 * five + 2 * one], np.cumsum([five, five, one]))
    made_N = labels_N.copy()
    made_N[swapped] = (labels_N[swapped] + generator.integers(1, people, five)) % people
    for new, label in enumerate(cut_people):
        made_N[generator.permutation(np.flatnonzero(labels_N == label))[::2]] = people + new
    for first, second in joined_people.reshape(-1, 2):
        made_N[made_N == second] = first
    for name, drawn in (("label swapped", swapped), ("8 pixels", tiny), ("noise", noise)):
        for image in drawn:
            rows[image] = name
    for image in tiny:
        pictures[image] = eight_pixels(pictures[image])
    for image in noise:
        pictures[image] = generator.integers(0, 256, pictures[image].shape, dtype=np.uint8)
    pictures += [copy(pictures[image], generator) for image in copied]
    rows += ["copy"] * one
    names = [f"p{label}" for label in range(people + few)]
    kept, made_N = np.unique(np.concatenate([made_N, labels_N[copied]]), return_inverse=True)
    return Planted(
        WithLabels(ArrayImages(pictures, "planted"), made_N.astype(np.int64), [names[label] for label in kept]),
        rows,
        np.concatenate([tiny, noise, np.arange(number, number + one)]),
        {frozenset((names[label], names[people + new])) for new, label in enumerate(cut_people)},
        {names[first] for first, _ in joined_people.reshape(-1, 2)},
        {number + new: int(image) for new, image in enumerate(copied)},
    )


def eight_pixels(image: RGBImage) -> RGBImage:
    height, width = image.shape[:2]
    small = cv2.resize(image, (8, 8), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def print_images(planted: Planted, found: Found) -> None:
    at = {planted.images.describe(image): image for image in range(len(planted.images))}
    copies = {frozenset(pair): pair[0] for pair in planted.originals.items()}
    said: dict[int, dict[str, float]] = {image: {} for image in at.values()}
    for finding in found.findings:
        if finding.kind in IMAGE_KINDS:
            image = at[finding.path]
            if finding.kind == "duplicate":  # whichever of the two is to go
                image = copies.get(frozenset((image, at[finding.other_path])), image)
            said[image][finding.kind] = finding.score
    print("| planted | images | " + " | ".join(IMAGE_KINDS) + " | none of these |")
    print("|---|---|" + "---|" * (len(IMAGE_KINDS) + 1))
    for row in dict.fromkeys(sorted(planted.row_N, key=ROWS.index)):
        images = [image for image, name in enumerate(planted.row_N) if name == row]
        listed, sure = Counter[str](), Counter[str]()
        for image in images:
            listed.update([*said[image]] or ["none"])
            sure.update([kind for kind, score in said[image].items() if score >= SURE] or ["none"])
        cells = [f"{listed[kind]} ({sure[kind]})" for kind in (*IMAGE_KINDS, "none")]
        print(f"| {row} | {len(images):,} | " + " | ".join(cells) + " |")
    print()


ROWS = ["label swapped", "8 pixels", "noise", "copy", "of a split person", "of a merged label", "untouched"]


def print_labels(planted: Planted, found: Found) -> None:
    split = {frozenset((one.label, one.suggested)): one.score for one in found.findings if one.kind == "split"}
    merged = {one.label: one.score for one in found.findings if one.kind == "merged"}
    in_split: dict[str, float] = {}
    for pair, score in split.items():
        in_split |= {label: max(score, in_split.get(label, 0)) for label in pair}
    cut = {label for pair in planted.split for label in pair}
    rest = set(planted.images.identity_names) - cut - planted.merged
    print("| planted | labels | split | merged | neither |")
    print("|---|---|---|---|---|")
    for row, labels in (("a half of a person", cut), ("two people", planted.merged), ("untouched", rest)):
        cells = []
        for scores in (in_split, merged):
            those = [scores[label] for label in labels if label in scores]
            cells.append(f"{len(those)} ({sum(score >= SURE for score in those)})")
        neither = sum(label not in in_split and label not in merged for label in labels)
        print(f"| {row} | {len(labels)} | " + " | ".join(cells) + f" | {neither} |")
    print(
        f"\nOf {len(planted.split)} people cut in two, {len(planted.split & set(split))} are found as the right pair.\n"
    )


def print_precision(planted: Planted, found: Found) -> None:
    at = {planted.images.describe(image): image for image in range(len(planted.images))}
    rows = {"mislabelled": "label swapped", "unrecognisable": "8 pixels", "no_face": "noise"}
    print("| kind | listed | planted as this | estimated precision | threshold |")
    print("|---|---|---|---|---|")
    for kind, looked in found.kinds.items():
        findings = [one for one in found.findings if one.kind == kind]
        if kind == "split":
            right = [frozenset((one.label, one.suggested)) in planted.split for one in findings]
        elif kind == "merged":
            right = [one.label in planted.merged for one in findings]
        elif kind == "duplicate":
            pairs = {frozenset(pair) for pair in planted.originals.items()}
            right = [frozenset((at[one.path], at[one.other_path])) in pairs for one in findings]
        else:
            right = [planted.row_N[at[one.path]] == rows[kind] for one in findings]
        estimated = "—" if looked.estimated_precision is None else f"{looked.estimated_precision:.2f}"
        share = "—" if not findings else f"{np.mean(right):.2f}"
        print(f"| {kind} | {len(findings)} | {share} | {estimated} | {looked.threshold:.3g} |")


if __name__ == "__main__":
    main()
