"""What is promised, in words."""

import math
from collections.abc import Sequence

from facemargin.counting import counted
from facemargin.evaluation.metrics.certified_thresholds import (
    Answer,
    CertifiedBand,
    CertifiedRate,
    CertifiedThresholds,
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
        f"promised with {confidence_text(found.confidence)} confidence: at most {at_most(rate.target)} pairs of {who} "
        f'get "{"same" if rate.name == "FMR" else "different"}"'
        for rate, who in ((best.fmr, "other people"), (best.fnmr, "the same person"))
        if rate is not None and is_promised(found, rate)
    ]


def guarantee(found: CertifiedThresholds, answer: Answer, quality: float) -> str:
    """What the certificate says of an answer to a pair, `quality` being that of its poorer image."""
    band = found.band_of(quality)
    if answer == "too poor":
        floor = found.quality_floor
        limit = "no quality is enough" if floor is None or math.isinf(floor) else f"it takes {floor:.4g}"
        return f"nothing is promised for pictures of quality {quality:.4g}: {limit}"
    if answer == "same":
        return _promise(band.fmr, "pairs of other people score this high", found)
    if answer == "different" and band.fnmr is not None:
        return _promise(band.fnmr, "pairs of the same person score this low", found)
    return f"nothing is promised for this score: {_thresholds(band.fmr, band.fnmr)}"


def _promise(rate: CertifiedRate, what: str, found: CertifiedThresholds) -> str:
    return (
        f"promised: at most {at_most(rate.target)} {what}, with {confidence_text(found.confidence)} confidence, "
        f"certified on {counted(rate.people, 'person', 'people')}"
    )


def _thresholds(fmr: CertifiedRate, fnmr: CertifiedRate | None) -> str:
    same = "for no score" if fmr.threshold is None else f"from {fmr.threshold:.4f} on"
    if fnmr is None:
        return f'"same" is certified {same}, "different" was not asked for'
    different = "for no score" if fnmr.threshold is None else f"below {fnmr.threshold:.4f}"
    return f'"same" is certified {same}, "different" {different}'
