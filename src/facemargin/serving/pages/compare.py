"""What the page says of two photographs. Everything here runs in the threads of requests."""

import math
from dataclasses import dataclass, field

from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.decision.guarantee import promises, rounded_up
from facemargin.decision.verify import DEFAULT_FMR, Verification
from facemargin.detection.face import Choice
from facemargin.errors import ImageError
from facemargin.serving.faces import verify_pictures
from facemargin.serving.logs import noted
from facemargin.serving.pages.pictures import ShownPicture, show
from facemargin.serving.pages.scale import ScoreBar, score_bar
from facemargin.serving.service import Service
from facemargin.serving.uploads import UploadedImages

NAMES = ("the first photograph", "the second photograph")


@dataclass(frozen=True)
class Comparison:
    """The photographs, the decision with what led to it (`why`) and what is known of its errors (`known`); or the
    `problem` because of which there is none."""

    pictures: tuple[ShownPicture | None, ShownPicture | None]
    result: Verification | None = None
    problem: str = ""
    why: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    bar: ScoreBar | None = None


def compare(service: Service, contents: list[bytes], fmr: float | None, faces: Choice) -> Comparison:
    """As `facemargin verify` decides."""
    pictures = UploadedImages(contents, NAMES, service.settings.max_pixels)
    detector = service.detector if service.finds_faces else None
    shown = show(pictures, 0, detector, faces), show(pictures, 1, detector, faces)
    with noted() as notes:
        try:
            result, doubts = verify_pictures(service, pictures, fmr, faces)
        except ImageError as error:
            return Comparison(shown, problem=str(error), notes=list(notes))
    return Comparison(shown, result, "", why(result), known(service, result), doubts + notes, _bar(service.by, result))


def rates(service: Service) -> list[float]:
    """The false match rates that one can choose: first the one nearest to the usual one, which is chosen unless another
    is."""
    if not isinstance(service.by, Calibration):
        return []
    falling = sorted((point.target_fmr for point in service.by.thresholds), reverse=True)
    usual = min(falling, key=lambda rate: abs(math.log(rate / DEFAULT_FMR)))
    return [usual, *(rate for rate in falling if rate != usual)]


def why(result: Verification) -> list[str]:
    """How the decision came about."""
    point = result.threshold
    lowest = min(result.quality_a, result.quality_b)
    which = "first" if result.quality_a <= result.quality_b else "second"
    if result.decision == "too poor to decide":
        floor = "" if point is None else f", below {point.quality_floor:.4g}, the least with which this model decides"
        return [f"The quality of the {which} photograph is {lowest:.4g}{floor}."]
    if point is not None:
        reaches = "reaches" if result.decision == "same" else "does not reach"
        return [f"The score {result.score:.4f} {reaches} the threshold {point.threshold:.4f}."]
    if result.decision == "cannot tell":
        return [f"The score {result.score:.4f} is one for which the certificate promises neither answer."]
    if result.decision is not None:
        return [f"The score is {result.score:.4f}."]
    return [
        f"The score is {result.score:.4f}. This model has no thresholds, so there is no decision: facemargin calibrate "
        "measures them."
    ]


def known(service: Service, result: Verification) -> list[str]:
    """What is promised or was measured of such decisions, and on whom."""
    by, lines = service.by, []
    if isinstance(by, Certificate):
        if result.guarantee is not None:
            lines.append(_sentence(result.guarantee))
        lines += [_sentence(text) for text in promises(by.thresholds)]
        lines.append(f"Certified on {by.faces.people:,} people, {by.faces.images:,} images of {by.faces.name}.")
    elif isinstance(by, Calibration) and result.threshold is not None:
        point = result.threshold
        lines.append(
            f"At this threshold {point.impostors_accepted:,} of {by.impostors:,} pairs of different people match "
            f"({100 * point.fmr:.3g} %), and {100 * point.fnmr:.3g} % of the pairs of the same person do not."
        )
        if point.estimated is not None:
            low, high = point.estimated
            lines.append(
                f"Of other people the share of false matches is estimated to be {100 * low:.2g} to {100 * high:.2g} %."
            )
        if point.certified is not None:
            lines.append(
                f"Certified, with 95 % confidence, is a share of at most {100 * rounded_up(point.certified):g} %."
            )
        lines.append(
            f"Measured on {by.pairs}: {by.genuine:,} pairs of the same person, {by.impostors:,} of different people. "
            "Of your cameras and people the rates may be others. Measured, not promised."
        )
    if result.decision is not None:
        lines.append(f"The model's quality is {service.quality_words}.")
    return lines


def _bar(by: Calibration | Certificate | None, result: Verification) -> ScoreBar | None:
    if result.decision == "too poor to decide":
        return None
    accept = reject = None
    if isinstance(by, Certificate):
        band = by.thresholds.band_of(min(result.quality_a, result.quality_b))
        accept = band.fmr.threshold
        reject = None if band.fnmr is None else band.fnmr.threshold
    elif result.threshold is not None:
        accept = reject = result.threshold.threshold
    return score_bar(result.score, accept, reject, "the same person", "different people")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
