"""What is promised, in words."""

import math
from collections.abc import Sequence
from typing import Literal

from facemargin.counting import counted
from facemargin.evaluation.metrics.certified_bound import Design
from facemargin.evaluation.metrics.certified_thresholds import (
    Answer,
    CertifiedBand,
    CertifiedRate,
    CertifiedThresholds,
)

ONE_COMPARISON = (
    "The rates are those of one comparison with one enrolled person: whoever searches the whole gallery makes as many "
    "as there are people in it, and may be wrong as many times as often"
)


def at_most(rate: float) -> str:
    """A rate as "1 of 1,000", where it is one of a whole number, else in percent with all its digits."""
    every = round(1 / rate)
    return f"1 of {every:,}" if abs(every * rate - 1) < 1e-9 else f"{100 * rate:.10g} %"


def confidence_text(confidence: float) -> str:
    """ "95 %", with all its digits."""
    return f"{100 * confidence:.10g} %"


def rounded_up(rate: float) -> float:
    """To two digits; a bound that is rounded down would be none."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 1)
    return min(1.0, math.ceil(rate / unit * (1 - 1e-12)) * unit)


def band_quality(bands: Sequence[CertifiedBand], number: int) -> str:
    """The qualities of a band, numbered from the best down: "from 9 on", "5 to 9", "below 5"; "any" if it is the only
    one."""
    low, above = bands[number].lowest_quality, bands[number - 1].lowest_quality if number else None
    if low is None:
        return "any" if above is None else f"below {above:.4g}"
    return f"from {low:.4g} on" if above is None else f"{low:.4g} to {above:.4g}"


def is_promised(found: CertifiedThresholds, rate: CertifiedRate) -> bool:
    """Whether a rate of the best band is promised: it is not refused, and that band is not too poor."""
    return rate.threshold is not None and not found.is_too_poor(found.bands[0])


def promises(found: CertifiedThresholds) -> list[str]:
    """What is promised, a sentence for each rate that is certified in the best band."""
    best = found.bands[0]
    return [
        f"promised with {confidence_text(found.confidence)} confidence: at most {at_most(rate.target)} "
        f'{pairs_of(found.design, rate.name)} get "{"same" if rate.name == "FMR" else "different"}"'
        for rate in (best.fmr, best.fnmr)
        if rate is not None and is_promised(found, rate)
    ]


def pairs_of(design: Design, rate: Literal["FMR", "FNMR"]) -> str:
    """The pairs that a rate is of."""
    if design == "gallery":
        who = "people who are not enrolled" if rate == "FMR" else "enrolled people"
        whom = "people of the gallery" if rate == "FMR" else "themselves in the gallery"
        return f"comparisons of {who} with {whom}"
    return f"pairs of {'other people' if rate == 'FMR' else 'the same person'}"


def left_out(found: CertifiedThresholds) -> str:
    """Which pairs no promise rests on, and why; empty if there are none."""
    if not found.left_out:
        return ""
    verb = "is" if found.left_out == 1 else "are"
    if found.design == "gallery":
        return (
            f"{counted(found.left_out, 'pair')} of enrolled people with others of the gallery {verb} behind no "
            "promise: the FMR is that of people who are not enrolled"
        )
    return (
        f"{counted(found.left_out, 'pair')} of different people {verb} behind no promise: one of the two has no image "
        "in the pair's band"
    )


def guarantee(found: CertifiedThresholds, answer: Answer, quality: float) -> str:
    """What the certificate says of an answer to a pair, `quality` being that of its poorer image."""
    band = found.band_of(quality)
    if answer == "too poor":
        floor = found.quality_floor
        limit = "no quality is enough" if floor is None or math.isinf(floor) else f"it takes {floor:.4g}"
        return f"nothing is promised for pictures of quality {quality:.4g}: {limit}"
    if answer == "same":
        return _promise(band.fmr, "high", found)
    if answer == "different" and band.fnmr is not None:
        return _promise(band.fnmr, "low", found)
    return f"nothing is promised for this score: {_thresholds(band.fmr, band.fnmr)}"


def _promise(rate: CertifiedRate, how: str, found: CertifiedThresholds) -> str:
    return (
        f"promised: at most {at_most(rate.target)} {pairs_of(found.design, rate.name)} score this {how}, with "
        f"{confidence_text(found.confidence)} confidence, certified on {counted(rate.people, 'person', 'people')}"
    )


def _thresholds(fmr: CertifiedRate, fnmr: CertifiedRate | None) -> str:
    same = "for no score" if fmr.threshold is None else f"from {fmr.threshold:.4f} on"
    if fnmr is None:
        return f'"same" is certified {same}, "different" was not asked for'
    different = "for no score" if fnmr.threshold is None else f"below {fnmr.threshold:.4f}"
    return f'"same" is certified {same}, "different" {different}'
