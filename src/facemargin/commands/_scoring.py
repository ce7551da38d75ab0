"""Scores systems on verification sets, and writes the files for the report."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.formats.orl import ORL_CREDIT
from facemargin.data.images.pixels import resize_square
from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.data.source import ImageSource, RGBImage
from facemargin.errors import DataError
from facemargin.evaluation import (
    Embed,
    Embeddings,
    PairScores,
    VerificationAccuracy,
    VerificationSummary,
    centered_accuracy,
    evaluate_verification,
    summarize,
)
from facemargin.evaluation.folder import FACES_FILE, RECONSTRUCTIONS_FILE, evaluation_folder, slug
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray
from facemargin.evaluation.summary import MAGFACE_SCRIPT
from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.report import FaceGallery, ReconstructionGallery, ReconstructionPictures

# The number of faces that are stored for the report, and their size in pixels.
_GALLERY_FACES = 24
_GALLERY_SIDE = 96

# The number of faces of a set that are reconstructed for the report.
_RECONSTRUCTED_FACES = 12

_ORL_SETS = ("orl:", "orl-full:")


AccuracyGrid = Literal["insightface", "magface"]
"""How the thresholds of the accuracy are chosen: on InsightFace's grid, or as in MagFace's script
(`centered_accuracy`)."""

Reconstruct = Callable[[Sequence[RGBImage]], ReconstructionPictures]
"""A function that reconstructs the faces in images of any size, and draws them."""


def score_systems(
    systems: Mapping[str, Embed],
    verification_set: VerificationSet,
    folder: Path,
    grid: AccuracyGrid | None = None,
    folds: int | None = None,
    reconstruct: Reconstruct | None = None,
    measure: str = "",
) -> list[VerificationSummary]:
    """Score every system on the set, with `folds` contiguous folds, or the folds of the set if `folds` is None.

    Writes `folder`/evaluation/SET/SYSTEM.npz and .json, the gallery of the faces with the highest and lowest quality by
    the first system, which is that of a `measure` or the model's own, and, with `reconstruct`, a gallery of
    reconstructed faces spread over the set. Raises DataError if there are more folds than pairs.
    """
    if folds is not None and not 2 <= folds <= len(verification_set):
        raise DataError(
            f"{counted(folds, 'fold')} for {counted(len(verification_set), 'pair')}; expected at least 2 folds, "
            "and at most one per pair"
        )
    place = evaluation_folder(folder, verification_set.name)
    summaries = []
    for position, (system, embed) in enumerate(systems.items()):
        keeping = _Keeping(embed)
        scores = evaluate_verification(keeping, verification_set, system)
        if folds is not None:
            scores = replace(scores, folds_K=contiguous_folds(len(verification_set), folds))
        summary = summarize(scores, grid="insightface" if grid == "insightface" else None)
        if grid == "magface" and scores.folds_K is not None:
            accuracy = _centered_accuracy(keeping.embeddings, verification_set, scores.folds_K)
            summary = replace(summary, accuracy=accuracy, accuracy_by=MAGFACE_SCRIPT)
        write_atomically(place / f"{slug(system)}.npz", scores.save)
        write_text_atomically(place / f"{slug(system)}.json", summary.to_json())
        if position == 0:
            write_atomically(place / FACES_FILE, replace(_gallery(verification_set, scores), measure=measure).save)
        summaries.append(summary)
    # The pictures of an earlier model must not look like those of this one.
    (place / RECONSTRUCTIONS_FILE).unlink(missing_ok=True)
    if reconstruct is not None:
        write_atomically(place / RECONSTRUCTIONS_FILE, _reconstructions(verification_set, reconstruct).save)
    return summaries


class _Keeping:
    """`embed` that remembers its last result."""

    def __init__(self, embed: Embed) -> None:
        self._embed = embed

    def __call__(self, images: ImageSource) -> Embeddings:
        self.embeddings = self._embed(images)
        return self.embeddings


def _centered_accuracy(
    embeddings: Embeddings, pairs: VerificationSet, folds_K: NDArray[np.int64]
) -> VerificationAccuracy:
    features_ND = embeddings.vectors * embeddings.norms[:, None]
    return centered_accuracy(features_ND[pairs.first_K], features_ND[pairs.second_K], pairs.same_K, folds_K)


def _gallery(verification_set: VerificationSet, scores: PairScores) -> FaceGallery:
    """The images of lowest and highest quality. Quality is stored per pair, so it is first assigned to the images
    again."""
    quality_N = np.full(len(verification_set.images), np.nan)
    if scores.quality_a_K is not None and scores.quality_b_K is not None:
        quality_N[verification_set.first_K] = scores.quality_a_K
        quality_N[verification_set.second_K] = scores.quality_b_K
    known = np.flatnonzero(np.isfinite(quality_N))
    return face_gallery(verification_set.images, known, quality_N[known], _credit(verification_set))


def face_gallery(images: ImageSource, shown: IntArray, quality_M: FloatArray, credit: str) -> FaceGallery:
    """Of the M images with the numbers `shown` and the qualities `quality_M`, those of lowest and highest quality."""
    order = np.argsort(quality_M)
    half = min(_GALLERY_FACES // 2, len(order) // 2)
    chosen = np.concatenate([order[:half], order[len(order) - half :]])
    pictures = [resize_square(images.read(int(index)), _GALLERY_SIDE) for index in shown[chosen]]
    return FaceGallery(
        images_NHWC=np.array(pictures, dtype=np.uint8).reshape(-1, _GALLERY_SIDE, _GALLERY_SIDE, 3),
        quality_N=quality_M[chosen],
        captions=[_caption(images, int(index)) for index in shown[chosen]],
        credit=credit,
    )


def _reconstructions(verification_set: VerificationSet, reconstruct: Reconstruct) -> ReconstructionGallery:
    """A gallery of images, chosen in equal steps from the set."""
    images = verification_set.images
    chosen = np.linspace(0, len(images) - 1, min(_RECONSTRUCTED_FACES, len(images))).astype(int).tolist()
    return ReconstructionGallery(
        pictures=reconstruct([images.read(index) for index in chosen]),
        captions=[_caption(images, index) for index in chosen],
        credit=_credit(verification_set),
    )


def _caption(images: ImageSource, index: int) -> str:
    return "/".join(Path(images.describe(index)).parts[-2:])


def _credit(verification_set: VerificationSet) -> str:
    """The credit line for the faces of the set."""
    return ORL_CREDIT if verification_set.name.startswith(_ORL_SETS) else f"Faces: {verification_set.name}"
