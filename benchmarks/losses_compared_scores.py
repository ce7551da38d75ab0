"""What the networks of losses_compared.py score on the tests. Shapes: N images, P people, D
values of an embedding."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import facemargin as fm
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, RGBImage
from facemargin.files.atomic import write_atomically
from facemargin.quality.degradation import degrade

STRENGTHS = (0.25, 0.5, 1.0)
# Genuine pairs of a person, at most, and impostor pairs altogether.
GENUINE, IMPOSTORS = 20, 50_000


class DegradedTo(ImageSource):
    """`source` with every image degraded by the same strength."""

    def __init__(self, source: ImageSource, strength: float) -> None:
        self.name, self.threadsafe = f"{source.name}, strength {strength:g}", source.threadsafe
        self.squashing_told = source.squashing_told
        self._source, self._strength = source, strength

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        return degrade(self._source.read(index), np.random.default_rng((0, index)), self._strength)

    def describe(self, index: int) -> str:
        return self._source.describe(index)


def embed_all(work: Path, lfw: str, mugshots: str, surveillance: str) -> None:
    """WORK/scores/TRAINING/TEST.npz, scores of every training on every test, of the pairs of WORK/pairs/TEST.npz."""
    torch.set_num_threads(1)
    clean, orl = fm.open_verification(lfw), fm.open_verification("orl:1-40")
    tests: dict[str, tuple[ImageSource, VerificationSet]] = {"orl": (orl.images, orl), "lfw": (clean.images, clean)}
    tests |= {f"lfw-{strength:g}": (DegradedTo(clean.images, strength), clean) for strength in STRENGTHS}
    pairs = {name: pairs_of(work, name, pair_set) for name, (_, pair_set) in tests.items()}
    enrolled, probes = fm.open_images(mugshots), fm.open_images(surveillance)
    names = list(enrolled.identity_names)
    mate_N = np.array([names.index(probes.identity_names[label]) for label in probes.labels])
    people = {"first": np.repeat(mate_N, len(names)), "second": np.tile(np.arange(len(names)), len(mate_N))}
    save(work / "pairs" / "frmdb.npz", same=people["first"] == people["second"], **people)
    for folder in sorted((work / "runs").iterdir()):
        if not (folder / "training.json").exists():
            continue
        model = fm.load(folder)
        for name, (images, _) in tests.items():
            target = work / "scores" / folder.name / f"{name}.npz"
            if not target.exists():
                vectors_ND, index = model.embed(images, views="one").vectors, pairs[name]
                save(target, scores=np.sum(vectors_ND[index["a"]] * vectors_ND[index["b"]], axis=1))
        target = work / "scores" / folder.name / "frmdb.npz"
        if not target.exists():
            mugshots_ND, labels_N = model.embed(enrolled, views="one").vectors, np.asarray(enrolled.labels)
            mean_PD = np.stack([mugshots_ND[labels_N == person].mean(axis=0) for person in range(len(names))])
            found = model.embed(probes, views="one")
            scores_NP = found.vectors @ (mean_PD / np.linalg.norm(mean_PD, axis=1, keepdims=True)).T
            save(target, scores=scores_NP.ravel(), norms=found.norms)
        print(folder.name, flush=True)


def pairs_of(work: Path, name: str, pair_set: VerificationSet) -> dict[str, NDArray[Any]]:
    """All genuine pairs, at most GENUINE a person, and IMPOSTORS pairs of different people, drawn."""
    generator, people_N = np.random.default_rng(0), np.asarray(pair_set.identities_N)
    genuine = []
    for person in np.unique(people_N):
        images = np.flatnonzero(people_N == person)
        all_pairs = np.stack(np.triu_indices(len(images), 1), axis=1)
        genuine.append(images[generator.permutation(all_pairs)[:GENUINE]])
    drawn = generator.integers(len(people_N), size=(2 * IMPOSTORS, 2))
    drawn = np.unique(np.sort(drawn, axis=1), axis=0)
    impostors = generator.permutation(drawn[people_N[drawn[:, 0]] != people_N[drawn[:, 1]]])[:IMPOSTORS]
    a, b = np.concatenate([*genuine, impostors]).T
    pairs = {"a": a, "b": b, "first": people_N[a], "second": people_N[b], "same": people_N[a] == people_N[b]}
    save(work / "pairs" / f"{name}.npz", **pairs)
    return pairs


def save(path: Path, **arrays: NDArray[Any]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a name, savez appends .npz to it
            np.savez(file, **arrays)

    write_atomically(path, write)
