"""What is to be seen in images that embeddings call unusable: nobody who could be recognised, no face, or a face that
the model does not recognise but people do. Shapes: K candidates, M planted pictures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from facemargin.auditing.alignment_doubt import bordered
from facemargin.auditing.planted import LISTED, Numbers, posterior
from facemargin.auditing.space import Floats
from facemargin.auditing.unusable import Unusable
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detector import Detector
from facemargin.errors import ImageError

_FINE, _COARSE = 28, 8


@dataclass(frozen=True)
class Seen:
    """An image that cannot be used: whether it `is_none`, shows no face, the `score`, its `detail`, and whether the
    detector finds a `face` (None: none looked)."""

    is_none: bool
    score: float
    detail: float
    face: bool | None


def decide_kinds(
    found: Unusable,
    images: ImageSource,
    tiny: ImageSource,
    detector: Detector | None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[int, Seen], int]:
    """{image: what it is} of all that are listed, and how many candidates are not, since they are sharp faces.

    Candidates are what embeddings say is like planted pictures. Those that are as blurred as `tiny`, planted faces of 8
    pixels, are unrecognisable. What is sharp may be a turned or covered face: it shows no face if the detector finds
    none, or, where there is no detector, if it is nearer to planted pictures without a face."""
    rows = np.flatnonzero(np.maximum(found.unrecognisable_N, found.no_face_N) >= LISTED)
    details, views = np.full(len(rows), np.nan), list[tuple[bool, bool] | None]()
    for number, row in enumerate(rows.tolist()):
        try:
            image = images.read(row)
            details[number], seen = detail(image), None if detector is None else two_looks(detector, image)
        except ImageError:  # the file went away since it was embedded
            seen = None
        views.append(seen)
        if progress is not None:
            progress(number + 1, len(rows))
    blurred_K = _blurred(details, np.array([detail(tiny.read(number)) for number in range(len(tiny))]))
    missed = _missed([view for view in views if view is not None])
    decided = {}
    for number, row in enumerate(rows.tolist()):
        poor, none, rather = found.unrecognisable_N[row], found.no_face_N[row], bool(found.rather_no_face_N[row])
        view = views[number]
        face, blurred = None if view is None else any(view), float(blurred_K[number])
        if rather and not face:
            is_none, score = True, none * (1 if face is None else 1 - missed)
        elif face is False and blurred < 0.5:
            is_none, score = True, max(poor, none) * (1 - missed)
        else:
            is_none, score = False, poor * blurred
        if score >= LISTED:
            decided[row] = Seen(is_none, float(score), float(details[number]), face)
    return decided, len(rows) - len(decided)


def detail(image: RGBImage) -> float:
    """What of an image's contrast is lost in its means over 8 × 8 fields, from 0 to 1: of sharp faces .06 to .4, of
    faces of 8 pixels .02. Contrast and noise of single pixels count little. nan for one colour."""
    fine, coarse = (_gray(image, side) for side in (_FINE, _COARSE))
    contrast = float(fine.var())
    if contrast < 1:
        return np.nan
    return float(((fine - cv2.resize(coarse, (_FINE, _FINE), interpolation=cv2.INTER_CUBIC)) ** 2).mean()) / contrast


def _gray(image: RGBImage, side: int) -> Floats:
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def shows_face(detector: Detector, image: RGBImage) -> bool:
    """Whether the detector finds a face in an aligned picture, also turned by 90°, 180° or 270°: detectors expect a
    face to be upright."""
    large = bordered(image)
    return any(detector.detect(np.ascontiguousarray(np.rot90(large, turns))) for turns in range(4))


def two_looks(detector: Detector, image: RGBImage) -> tuple[bool, bool]:
    """Whether it finds a face in an image, and in its mirror image."""
    return shows_face(detector, image), shows_face(detector, np.ascontiguousarray(image[:, ::-1]))


def _blurred(detail_K: Numbers, tiny_M: Numbers) -> Numbers:
    """The probability (K,) that a candidate is as blurred as faces of 8 pixels; 0 where there is nothing to see."""
    known_K, blurred_K = np.isfinite(detail_K), np.zeros(len(detail_K))
    tiny_M = tiny_M[np.isfinite(tiny_M)]
    if known_K.any() and len(tiny_M):
        blur_K, planted_M = (-np.log(np.maximum(one, 1e-4)) for one in (detail_K[known_K], tiny_M))
        blurred_K[known_K] = posterior(blur_K, planted_M).probability_N
    return blurred_K


def _missed(views: Sequence[tuple[bool, bool]]) -> float:
    """Of candidates in which no face is found twice, the share that are expected to be faces: as many as are missed by
    both of two looks each of which finds some that the other misses (the estimate of Lincoln and Petersen)."""
    first, second, both, neither = (
        sum(view == kind for view in views) for kind in ((True, False), (False, True), (True, True), (False, False))
    )
    return min(1.0, (first + 0.5) * (second + 0.5) / (both + 0.5) / max(neither, 1))
