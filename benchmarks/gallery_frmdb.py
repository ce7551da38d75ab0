"""Who is this? Mugshots enrolled, surveillance pictures identified, with and without what protects a gallery.

MUGSHOTS and SURVEILLANCE are folders with one folder per person, of the same people, as `facemargin align` writes them.
Every other person is enrolled; the pictures of the rest are searches for strangers. Then one person more is enrolled by
pictures that were shrunk to 22 × 28 pixels, and everybody else's pictures, shrunk as much, are looked for: how many are
taken for that person.

    python benchmarks/gallery_frmdb.py MUGSHOTS SURVEILLANCE [--model sface]

Shapes: N pictures.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console

import facemargin as fm
from facemargin.data.source import RGBImage, labeled_subset
from facemargin.decision import shipped_calibration
from facemargin.gallery.identification import Identification, decide
from facemargin.gallery.rule import SearchRule
from facemargin.tables import Table

FPIR = 0.01
TINY = (22, 28)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mugshots", type=Path)
    parser.add_argument("surveillance", type=Path)
    parser.add_argument("--model", default="sface")
    args = parser.parse_args()
    model = fm.load(args.model)
    mugshots, probes = fm.open_images(args.mugshots), fm.open_images(args.surveillance)
    enrolled = mugshots.identity_names[::2]
    chosen = np.flatnonzero(np.isin([mugshots.identity_names[label] for label in mugshots.labels], enrolled))
    people = labeled_subset(mugshots, chosen)
    victim = next(name for name in probes.identity_names if name not in enrolled)
    names = [probes.identity_names[label] for label in probes.labels]
    tiny_victim = [shrunk(probes.read(index)) for index, name in enumerate(names) if name == victim]
    tiny_others = [shrunk(probes.read(index)) for index, name in enumerate(names) if name != victim]
    table = Table(
        title=f"{len(enrolled)} people enrolled of {mugshots.num_identities}, {len(probes)} pictures; {args.model}"
    )
    for heading in ("enrolment", "searches", "enrolled", "rank 1", "right", "wrong", "strangers found", "too poor"):
        table.add_column(heading)
    tiny = Table(
        title=f"one more enrolled by {len(tiny_victim)} pictures of 22 × 28; {len(tiny_others)} of others, as small"
    )
    for heading in ("enrolment", "pictures enrolled", "searches", "taken for that person", "most like that person"):
        tiny.add_column(heading)
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as folder:
        for gate in ("off", "refuse"):
            with fm.Gallery.create(Path(folder) / gate, model) as gallery:
                done = gallery.enrol(people, gate=gate)
                counts = f"{done.count('enrolled'):,} of {len(done.outcomes):,}, {len(gallery)} people"
                known = {person.name for person in gallery.people}
                answers = gallery.identify(probes, fpir=FPIR)
                for floor, kept in (("off", without_floor(gallery, answers)), ("on", answers)):
                    row = rates(kept, names, set(enrolled), known)
                    table.add_row(gate, f"quality {floor}", counts, *row)
                added = gallery.enrol(tiny_victim, victim, gate=gate)
                answers = gallery.identify(tiny_others, fpir=FPIR)
                for floor, kept in (("off", without_floor(gallery, answers)), ("on", answers)):
                    taken = sum(answer.person == victim for answer in kept)
                    like = sum(answer.candidates[0].person == victim for answer in kept if answer.candidates)
                    tiny.add_row(gate, f"{added.count('enrolled')}", f"quality {floor}", f"{taken}", f"{like}")
    console.print(table)
    console.print(tiny)
    calibration = shipped_calibration(model)
    assert calibration is not None
    console.print(f"FPIR {FPIR:g}, thresholds of {calibration.pairs}; wrong: an enrolled person found as another")


def shrunk(image: RGBImage) -> RGBImage:
    """As a face that was 22 × 28 pixels large."""
    small = cv2.resize(image, TINY, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def without_floor(gallery: fm.Gallery, answers: list[Identification]) -> list[Identification]:
    """The answers if the quality did not decide."""
    rule = gallery.rule(FPIR)
    assert rule is not None
    bare = SearchRule(rule.accept, rule.reject, None, rule.words)
    return [decide(one.sources, one.quality, one.candidates, bare) for one in answers]


def rates(answers: list[Identification], names: list[str], enrolled: set[str], known: set[str]) -> list[str]:
    """Rank 1 is of all searches for people who were to be enrolled, right, wrong and too poor likewise."""
    mates = [(answer, name) for answer, name in zip(answers, names, strict=True) if name in enrolled]
    strangers = [answer for answer, name in zip(answers, names, strict=True) if name not in enrolled]
    first = sum(bool(one.candidates) and one.candidates[0].person == name for one, name in mates)
    right = sum(one.person == name for one, name in mates)
    wrong = sum(one.person not in (None, name) for one, name in mates)
    found = sum(one.person is not None for one in strangers)
    poor = sum(one.decision == "too poor to decide" for one in answers)
    of_mates, of_strangers = len(mates), len(strangers)
    assert known <= enrolled
    return [
        f"{first / of_mates:.3f}",
        f"{right / of_mates:.3f}",
        f"{wrong / of_mates:.3f} ({wrong})",
        f"{found / of_strangers:.3f} ({found} of {of_strangers})",
        f"{poor / len(answers):.3f}",
    ]


if __name__ == "__main__":
    main()
