"""The demo's released recogniser: SFace, on people that it never saw, from photograph to decision.

Shapes: N faces, K pairs.
"""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from facemargin.commands._demo_quality import check_shown
from facemargin.commands._scoring import score_systems
from facemargin.counting import counted
from facemargin.data.formats.orl import ORL_CREDIT, EmbeddedFaces
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ArrayImages, ImageSubset, LabeledImages, RGBImage
from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.guarantee import rounded_up
from facemargin.decision.shipped import shipped_calibration
from facemargin.decision.verify import Verification, decide
from facemargin.detection.detect import DetectedFaces
from facemargin.detection.detector import Detector, create_detector
from facemargin.detection.yunet import INSTALL
from facemargin.errors import CheckpointError, ConfigError, NoFaceError
from facemargin.evaluation import Embeddings, VerificationSummary
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.folder import DECISIONS_FILE, RELEASED_FOLDER, SUMMARY_FILE, evaluation_folder
from facemargin.evaluation.metrics.pairs import IntArray
from facemargin.extras import require_extra
from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.interop.released import RELEASED, is_here, released_file
from facemargin.models.load import load
from facemargin.models.model import Model
from facemargin.quality.degradation import degrade
from facemargin.quality.degradation_kinds import KINDS
from facemargin.randomness import Purpose, sample_generator
from facemargin.report.decision_gallery import Decided, DecisionCounts, DecisionGallery

NAME = "sface"
# YuNet's network comes with SFace's; CenterFace is there for those who installed it instead.
_DETECTORS = ("yunet", "centerface")
_FMR = 1e-3


@dataclass(frozen=True)
class ReleasedRecognizer:
    """The model with the detector that finds its faces."""

    model: Model
    detector: Detector


@dataclass(frozen=True)
class ReleasedResult:
    """What came out: figures of pairs of clean pictures, and of a clean one with a degraded one each; the check of its
    quality; the decisions, if there are thresholds for the model. The detector found `found` faces in `pictures`
    frames."""

    detector: str
    found: int
    pictures: int
    summaries: list[VerificationSummary]
    check: QualityCheck
    decisions: DecisionGallery | None


def open_released(device: str) -> ReleasedRecognizer | str:
    """The recogniser, or why it cannot be tried and what brings it. Nothing is downloaded: whoever tries the demo
    without a network waits for none."""
    if not is_here(RELEASED[NAME]):
        return f"its file is not on this computer; this brings it: {INSTALL}"
    try:
        require_extra("export", "onnx", what="reading its file")
        model = load(released_file(NAME), device, precision="float32")
    except (ConfigError, CheckpointError) as error:
        return str(error)
    problems = []
    for name in _DETECTORS:
        try:
            return ReleasedRecognizer(model, create_detector(name))
        except ConfigError as error:
            problems.append(str(error))
    return problems[0]


def try_released(released: ReleasedRecognizer, people: range, run: Path) -> ReleasedResult:
    """Find the faces of `people`, score and check the recogniser on them, let it decide, and write all of it into a
    folder of its own in `run`."""
    model, folder = released.model, run / RELEASED_FOLDER
    faces = AlignedFaces(people, released.detector)
    check, checked = check_shown(model, faces, folder, ORL_CREDIT)
    shown = checked.faces()
    kept = Embeddings(*(getattr(checked.embeddings, name)[shown] for name in ("vectors", "norms", "quality")))
    clean = clean_pairs(faces)
    degraded = degraded_pairs(faces, ImageSubset(checked.pictures, shown))
    summaries = [
        *score_systems({NAME: lambda _: _first(kept, len(faces))}, clean, folder),
        *score_systems({NAME: lambda _: kept}, degraded, folder),
    ]
    decisions = _decisions(released, faces, kept, [clean, degraded])
    if decisions is not None:
        write_atomically(evaluation_folder(folder, faces.name) / DECISIONS_FILE, decisions.save)
    result = ReleasedResult(released.detector.name, len(faces), faces.pictures, summaries, check, decisions)
    write_text_atomically(folder / SUMMARY_FILE, about(result) + "\n")
    return result


def _first(embeddings: Embeddings, count: int) -> Embeddings:
    return Embeddings(embeddings.vectors[:count], embeddings.norms[:count], embeddings.quality[:count])


def about(result: ReleasedResult) -> str:
    """What it is, and how it got its faces."""
    known = RELEASED[NAME]
    return (
        f"{known.title}. Licence: {known.licence}. The detector {result.detector} found the face in {result.found} of "
        f"{counted(result.pictures, 'picture')}; each was cut out and aligned to 112 × 112 pixels. A copy of each was "
        f"degraded, by a kind ({', '.join(KINDS)}) and a strength of its own; in the pairs with degraded pictures, the "
        "second is such a copy."
    )


class AlignedFaces(LabeledImages):
    """The faces that a detector finds in the ORL frames of `people`, aligned; those without one are left out.
    `pictures` is the number of frames."""

    def __init__(self, people: range, detector: Detector) -> None:
        frames = EmbeddedFaces(people, square=False)
        detected = DetectedFaces(frames, detector)
        crops: list[RGBImage] = []
        self._frames_N: list[int] = []
        for index in range(len(frames)):
            try:
                crops.append(detected.read(index))
            except NoFaceError:
                continue
            self._frames_N.append(index)
        self.name = f"{frames.name}-aligned"
        self.labels = frames.labels[self._frames_N]
        self.identity_names = frames.identity_names
        self.pictures = len(frames)
        self.threadsafe = True
        self._crops, self._frames = ArrayImages(crops, self.name), frames

    def __len__(self) -> int:
        return len(self._crops)

    def read(self, index: int) -> RGBImage:
        return self._crops.read(index)

    def describe(self, index: int) -> str:
        return self._frames.describe(self._frames_N[index])


def clean_pairs(faces: LabeledImages) -> VerificationSet:
    """Every pair of the faces as they are."""
    first_K, second_K = np.triu_indices(len(faces), k=1)
    same_K = faces.labels[first_K] == faces.labels[second_K]
    return VerificationSet(
        faces.name, faces, first_K, second_K, same_K, identities_N=faces.labels, identity_names=faces.identity_names
    )


def degraded_pairs(faces: LabeledImages, both: ImageSubset) -> VerificationSet:
    """The same pairs, the second picture degraded, as an enrolled picture meets that of a poor camera. `both`: the N
    faces as they are, then degraded."""
    clean = clean_pairs(faces)
    return replace(
        clean,
        name=f"{faces.name}-with-degraded",
        images=both,
        second_K=clean.second_K + len(faces),
        identities_N=np.tile(faces.labels, 2),
    )


def _decisions(
    released: ReleasedRecognizer, faces: LabeledImages, kept: Embeddings, sets: list[VerificationSet]
) -> DecisionGallery | None:
    """Three decisions on the first pictures of the first two people, nothing chosen by its result, and all decisions
    counted; None without thresholds for the model."""
    calibration = shipped_calibration(released.model)
    if calibration is None:
        return None
    point = calibration.at(_FMR)
    first, second = np.flatnonzero(faces.labels == faces.labels[0])[:2].tolist()
    other = int(np.flatnonzero(faces.labels != faces.labels[0])[0])
    ruined = degrade(faces.read(second), sample_generator(0, 0, second, Purpose.DEGRADATION), strength=1.0)
    examples = [
        ("two pictures of one person", faces.read(second)),
        ("two people", faces.read(other)),
        ("one person, the second picture ruined", ruined),
    ]
    embedded = released.model.embed([faces.read(first), *(picture for _, picture in examples)], views=calibration.views)
    decided = decide(embedded, np.array([[0, 1], [0, 2], [0, 3]]), point)
    counts = []
    for pairs, described in zip(sets, ("both clean", "the second degraded"), strict=True):
        taken = decide(kept, np.stack([pairs.first_K, pairs.second_K], axis=1), point)
        counts += _counts(described, pairs.same_K, taken)
    return DecisionGallery(
        images_E2HWC=np.array([[faces.read(first), picture] for _, picture in examples]),
        examples=[
            Decided(caption, str(one.decision), one.score, one.quality_a, one.quality_b)
            for (caption, _), one in zip(examples, decided, strict=True)
        ],
        counts=counts,
        threshold=point.threshold,
        quality_floor=point.quality_floor,
        fmr=point.target_fmr,
        measured_on=_measured_on(calibration, point),
        credit=ORL_CREDIT,
        doubt=calibration.doubt_detector(released.detector),
    )


def _measured_on(calibration: Calibration, point: Threshold) -> str:
    pairs = f"{calibration.pairs}, {calibration.genuine:,} genuine and {calibration.impostors:,} impostor pairs"
    if point.certified is None:
        return pairs
    return f"{pairs}; for other people like these, no more than {100 * rounded_up(point.certified):g}% is certified"


def _counts(described: str, same_K: NDArray[np.bool_], taken: list[Verification]) -> list[DecisionCounts]:
    rows = []
    for genuine, people in ((True, "one person"), (False, "two people")):
        numbers: IntArray = np.flatnonzero(same_K == genuine)
        found = Counter(taken[number].decision for number in numbers.tolist())
        row = DecisionCounts(
            f"{people}, {described}", genuine, found["same"], found["different"], found["too poor to decide"]
        )
        rows.append(row)
    return rows
