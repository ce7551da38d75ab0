"""What the networks of losses_compared.py score on the tests. Shapes: N images, M mugshots, P people, K pairs,
D values of an embedding."""

import concurrent.futures
import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import facemargin as fm
from facemargin.data.images.pixels import resize_square
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, RGBImage
from facemargin.files.atomic import write_atomically
from facemargin.quality.degradation import degrade

STRENGTHS = (0.25, 0.5, 1.0)
# Genuine pairs of a person, at most, and impostor pairs altogether.
GENUINE, IMPOSTORS = 20, 30_000
# Scores are kept in whole numbers of this.
STEP = 1 / 32_767
CHOOSERS_TESTS = ("choosers", "choosers-degraded")
ENROLLED, PROBES = "frmdb-mugshots", "frmdb"


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


def prepare_tests(work: Path, choosers: Path, lfw: str, mugshots: str, surveillance: str, size: int) -> None:
    """WORK/tests/TEST.npy, images (N, size, size, 3), and WORK/pairs/TEST.npz, which of them are compared."""
    clean, orl, chosen = (fm.open_verification(name) for name in (lfw, "orl:1-40", choosers))
    tests: dict[str, tuple[ImageSource, VerificationSet]] = {"orl": (orl.images, orl), "lfw": (clean.images, clean)}
    tests |= {f"lfw-{strength:g}": (DegradedTo(clean.images, strength), clean) for strength in STRENGTHS}
    tests |= {CHOOSERS_TESTS[0]: (chosen.images, chosen)}
    tests |= {CHOOSERS_TESTS[1]: (DegradedTo(chosen.images, STRENGTHS[1]), chosen)}
    enrolled, probes = fm.open_images(mugshots), fm.open_images(surveillance)
    with concurrent.futures.ProcessPoolExecutor(mp_context=multiprocessing.get_context("fork")) as pool:
        for name, (images, _) in [*tests.items(), (ENROLLED, (enrolled, None)), (PROBES, (probes, None))]:
            reads = [pool.submit(read, images, part, size) for part in np.array_split(np.arange(len(images)), 32)]
            pixels_NHWC = np.concatenate([one.result() for one in reads])
            (work / "tests").mkdir(exist_ok=True)
            np.save(work / "tests" / f"{name}.npy", pixels_NHWC)
    for name, (_, pair_set) in tests.items():
        pairs_of(work, name, pair_set)
    names = list(enrolled.identity_names)
    mate_N = np.array([names.index(probes.identity_names[label]) for label in probes.labels])
    people = {"first": np.repeat(mate_N, len(names)), "second": np.tile(np.arange(len(names)), len(mate_N))}
    save(work / "pairs" / f"{PROBES}.npz", same=people["first"] == people["second"], **people)
    np.save(work / "tests" / f"{ENROLLED}-labels.npy", np.asarray(enrolled.labels))


def read(images: ImageSource, part: NDArray[np.int64], size: int) -> NDArray[np.uint8]:
    return np.stack([resize_square(images.read(index), size) for index in part.tolist()])


def score_all(work: Path, run: Path) -> None:
    """WORK/scores/RUN/TEST.npz: what the network of a run scores on every test."""
    model = fm.load(run)
    for test in sorted((work / "pairs").glob("*.npz")):
        found = model.embed([*np.load(work / "tests" / f"{test.stem}.npy")], views="one")
        more = {}
        if test.stem == PROBES:
            scores_K, more = against_mugshots(work, model, found.vectors), {"norms": found.norms}
        else:
            index = np.load(test)
            scores_K = np.sum(found.vectors[index["a"]] * found.vectors[index["b"]], axis=1)
        save(work / "scores" / run.name / test.name, scores=np.rint(scores_K / STEP).astype(np.int16), **more)


def against_mugshots(work: Path, model: fm.Model, vectors_ND: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores (N · P,) of N probes against the mean mugshot of each of P people."""
    labels_M = np.load(work / "tests" / f"{ENROLLED}-labels.npy")
    mugshots_MD = model.embed([*np.load(work / "tests" / f"{ENROLLED}.npy")], views="one").vectors
    mean_PD = np.stack([mugshots_MD[labels_M == person].mean(axis=0) for person in np.unique(labels_M)])
    return np.asarray(vectors_ND @ (mean_PD / np.linalg.norm(mean_PD, axis=1, keepdims=True)).T).ravel()


def read_scores(work: Path, run: str, test: str) -> NDArray[np.float32]:
    """Scores (K,) of the pairs of WORK/pairs/TEST.npz."""
    with np.load(work / "scores" / run / f"{test}.npz") as arrays:
        return np.asarray(arrays["scores"], np.float32) * np.float32(STEP)


def pairs_of(work: Path, name: str, pair_set: VerificationSet) -> None:
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
    first, second = people_N[a], people_N[b]
    save(work / "pairs" / f"{name}.npz", a=a, b=b, first=first, second=second, same=first == second)


def save(path: Path, **arrays: Any) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a name, savez appends .npz to it
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)
