"""From which score on a search says that it has found somebody, and how often it may be wrong."""

import math
from dataclasses import dataclass

from facemargin.counting import counted
from facemargin.decision.calibration import Calibration
from facemargin.decision.certificate import Certificate
from facemargin.decision.guarantee import confidence_text, rounded_up
from facemargin.errors import ConfigError
from facemargin.gallery.binding import Binding

DEFAULT_FPIR = 0.01
"""The share of searches for strangers that may return somebody."""


@dataclass(frozen=True)
class SearchRule:
    """Scores of `accept` or more say "this person", those below `reject` "nobody enrolled"; between them it cannot be
    told, and without `reject` it never is that nobody is enrolled. Probes of a quality below `quality_floor` are too
    poor; None: the quality does not decide. `words`: where this is from, and how often a search for a stranger may
    return somebody."""

    accept: float
    reject: float | None
    quality_floor: float | None
    words: tuple[str, ...]


def check_fpir(fpir: float) -> float:
    """Raises ConfigError unless it is a rate between 0 and 1."""
    if not (isinstance(fpir, int | float) and 0 < fpir < 1):
        raise ConfigError(f"the FPIR is {fpir}, expected a number between 0 and 1, such as 0.01")
    return float(fpir)


def calibrated_rule(
    calibration: Calibration, binding: Binding, people: int, fpir: float = DEFAULT_FPIR, fmr: float | None = None
) -> SearchRule:
    """By the thresholds of pairs. A search for a stranger makes `people` comparisons, so that its FPIR is at most
    `people` times the FMR, whatever they have to do with each other (the union bound): the threshold is that for the
    FMR `fpir` / `people`, or for the lowest that was measured, as the words then say, or for the `fmr` that is given.

    Raises ConfigError for rates out of range, and for an `fmr` that was not measured.
    """
    lowest = min(point.target_fmr for point in calibration.thresholds)
    highest = max(point.target_fmr for point in calibration.thresholds)
    wanted = min(check_fpir(fpir) / max(people, 1), highest)
    point = calibration.at(max(wanted, lowest) if fmr is None else fmr)
    bound = min(1.0, people * point.target_fmr)
    words = [
        f"threshold {point.threshold:.4f}, at which {point.target_fmr:g} of the impostor pairs of {calibration.pairs} "
        f"match: with {counted(people, 'person', 'people')} enrolled at most {percent(bound)} of the searches for "
        "strangers find somebody, if the pairs are of people and pictures like these (the union bound: as many times "
        "the rate of a pair as there are people). Measured, not promised"
    ]
    if fmr is None and wanted < lowest * (1 - 1e-9):
        words.append(
            f"an FPIR of {fpir:g} would need an FMR of {wanted:.2g}, and {calibration.pairs} measures none below "
            f"{lowest:g}"
        )
    floor = _floor(point.quality_floor, binding)
    if floor is not None:
        words.append(
            f"pictures of a quality below {floor:.4g} are too poor to decide: the floor of {calibration.pairs} "
            f"({calibration.floor_rule}). To decide on poorer ones, measure thresholds and a floor on such pictures: "
            "facemargin calibrate, with --floor-percentile"
        )
    return SearchRule(point.threshold, point.threshold, floor, tuple(words))


def certified_rule(certificate: Certificate, binding: Binding, people: int) -> SearchRule:
    """By a certificate of pairs of images, at its FMR: what it promises of a pair says of a search with `people` times
    as many comparisons that it is wrong at most as many times as often. Of several bands of quality the most careful
    thresholds are taken.

    Raises ConfigError if it promises nothing.
    """
    certificate.require_promise()
    found = certificate.thresholds
    promised = [band for band in found.bands if band.fmr.threshold is not None and not found.is_too_poor(band)]
    accept = max(band.fmr.threshold for band in promised if band.fmr.threshold is not None)
    rejects = [band.fnmr.threshold for band in promised if band.fnmr is not None and band.fnmr.threshold is not None]
    fmr = promised[0].fmr.target
    words = [
        f"threshold {accept:.4f}: promised with {confidence_text(found.confidence)} confidence is an FMR of at most "
        f"{fmr:g} for a pair of single images. With {counted(people, 'person', 'people')} enrolled by one image each, "
        f"at most {percent(min(1.0, people * fmr))} of the searches with one image for strangers find somebody (the "
        "union bound); of people enrolled by several images, which are pooled, nothing is promised"
    ]
    return SearchRule(
        accept, min(rejects) if len(rejects) == len(promised) else None, found.quality_floor, tuple(words)
    )


def percent(rate: float) -> str:
    """Rounded up, so that a bound stays one."""
    return f"{100 * rounded_up(rate):g} %" if rate > 0 else "0 %"


def _floor(floor: float, binding: Binding) -> float | None:
    return floor if binding.quality_helps and math.isfinite(floor) else None
