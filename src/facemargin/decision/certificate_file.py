"""Certified thresholds in the JSON of a certificate, and a reader that names the field that is wrong."""

import math
from itertools import pairwise
from typing import Literal, cast

from facemargin.evaluation.metrics.certified_bound import DESIGNS, Design
from facemargin.evaluation.metrics.certified_thresholds import (
    CertifiedBand,
    CertifiedRate,
    CertifiedThresholds,
    quality_floor,
)
from facemargin.files.fields import Fields


def thresholds_from(file: Fields) -> CertifiedThresholds:
    """Raises ValueError, which names the field, for what `certify_threshold` cannot have returned."""
    design = cast(Design, file.text("design", DESIGNS))
    confidence, left_out = file.number("confidence", 0, 1), file.count("left_out")
    bands = tuple(_band(fields) for fields in file.list_of_fields("bands"))
    edges = [math.inf, *(-math.inf if band.lowest_quality is None else band.lowest_quality for band in bands)]
    if edges[-1] != -math.inf or any(upper <= lower for upper, lower in pairwise(edges)):
        raise ValueError(
            f"bands have lowest_quality {[band.lowest_quality for band in bands]}, expected falling numbers, and null "
            "for the poorest band alone"
        )
    if len({(band.fmr.target, None if band.fnmr is None else band.fnmr.target) for band in bands}) > 1:
        raise ValueError("bands promise different rates, expected the same ones in every band")
    # The quality floor is not in the file: it follows from the bands, and is infinite if the best one is refused.
    return CertifiedThresholds(design, confidence, bands, quality_floor(bands), left_out)


def _band(band: Fields) -> CertifiedBand:
    fmr, fnmr = band.fields("fmr"), band.optional_fields("fnmr")
    made = CertifiedBand(
        lowest_quality=band.optional_number("lowest_quality"),
        fmr=_rate(fmr, "FMR"),
        fnmr=None if fnmr is None else _rate(fnmr, "FNMR"),
        undecided_impostor=band.number("undecided_impostor", 0, 1),
        undecided_genuine=band.number("undecided_genuine", 0, 1),
    )
    band.end()
    high, low = made.fmr.threshold, None if made.fnmr is None else made.fnmr.threshold
    if high is not None and low is not None and low > high:
        raise band.refuse("fnmr.threshold", low, f"at most that of the FMR, {high}")
    return made


def _rate(rate: Fields, expected: Literal["FMR", "FNMR"]) -> CertifiedRate:
    rate.text("name", (expected,))
    made = CertifiedRate(
        name=expected,
        target=rate.number("target", 0, 1),
        confidence=rate.number("confidence", 0, 1),
        threshold=rate.optional_number("threshold"),
        certified=rate.optional_number("certified", 0, 1),
        observed=rate.optional_number("observed", 0, 1),
        estimated=_interval(rate),
        errors=rate.count("errors"),
        people_in_error=rate.count("people_in_error"),
        pairs=rate.count("pairs"),
        people=rate.count("people"),
        units=rate.count("units"),
        people_per_unit=rate.count("people_per_unit"),
        people_needed=rate.count("people_needed"),
        lowest=rate.number("lowest", 0, 1),
        refusal=rate.text("refusal"),
    )
    rate.end()
    for field, value in (("target", made.target), ("confidence", made.confidence)):
        if not 0 < value < 1:
            raise rate.refuse(field, value, "a number between 0 and 1")
    if made.threshold is None:
        if made.certified is not None or not made.refusal:
            raise rate.refuse("threshold", None, "a number, or a refusal and no certified rate")
    elif made.certified != made.target or made.observed is None or made.refusal:
        raise rate.refuse("certified", made.certified, "the target, an observed rate and no refusal")
    return made


def _interval(rate: Fields) -> tuple[float, float] | None:
    content = rate.optional_numbers("estimated")
    if content is None:
        return None
    if len(content) != 2 or not 0 <= content[0] <= content[1] <= 1:
        raise rate.refuse("estimated", content, "two rates, the lower one first, or null")
    return content[0], content[1]
