"""What `certify_threshold` returns: thresholds with the error rates that are promised for them."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.bootstrap import Interval
from facemargin.evaluation.metrics.certified_bound import (
    Design,
    certified_upper_bound,
    people_per_unit,
    units_needed,
)

Answer = Literal["same", "different", "cannot tell", "too poor"]


@dataclass(frozen=True)
class CertifiedRate:
    """An error rate that is promised at a threshold, and what it rests on.

    name: FMR or FNMR. target: the rate asked for. confidence: that of this promise alone. threshold: scores at or above
    it (for an FNMR, below it) get the answer whose error rate this is; None if the rate cannot be certified. certified:
    the promise, which is the target, because the threshold was chosen for it. observed: the rate among these people,
    each pair of people, or person, counted alike. estimated: where the true rate probably is, by a formula that is no
    guarantee; None without an error. errors, people_in_error: the image pairs in error and their people. pairs, people:
    all of them.
    units: the independent terms among them. people_per_unit: how many people make one. people_needed: how many people
    the target needs if there is no error among them. lowest: the lowest rate that so many people can certify. refusal:
    why there is no threshold; empty if there is one.

    Examples:
        >>> import facemargin as fm
        >>> people = [(a, b) for b in range(40) for a in range(b)]
        >>> first, second = zip(*people)
        >>> scores = [((7 * a + 3 * b) % 100) / 100 for a, b in people]
        >>> found = fm.evaluation.certify_threshold(scores, [False] * len(people), first, second, fmr=1e-3)
        >>> found.bands[0].fmr.refusal.partition("; ")[2]
        'the lowest that can be certified is 13.9 %'
    """

    name: Literal["FMR", "FNMR"]
    target: float
    confidence: float
    threshold: float | None
    certified: float | None
    observed: float | None
    estimated: Interval | None
    errors: int
    people_in_error: int
    pairs: int
    people: int
    units: int
    people_per_unit: int
    people_needed: int
    lowest: float
    refusal: str

    def needs(self, rate: float, observed: float = 0.0) -> int:
        """How many people a lower rate would need, at the same confidence, if `observed` were found among them. (For a
        list of pairs: in a list in which nobody is in two pairs.)"""
        if not 0 <= observed < rate < 1:
            raise ConfigError(f"rate is {rate:g} and observed {observed:g}, expected observed < rate, both from 0 to 1")
        return units_needed(rate, observed, 1 - self.confidence) * self.people_per_unit


@dataclass(frozen=True)
class CertifiedBand:
    """The two thresholds of one band of quality: "same" from that of `fmr` on, "different" below that of `fnmr`, which
    is None if no FNMR was asked for. `lowest_quality`: the band's lower edge, None for the poorest band.
    `undecided_impostor`, `undecided_genuine`: the shares of its image pairs between the two thresholds.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> faces = fm.open_images("orl:1-40")
        >>> found = fm.evaluation.certify_embeddings(model.embed(faces), faces.labels, fmr=0.4, fnmr=0.4, bands=2)
        >>> best, poorest = found.bands
        >>> best.lowest_quality > 0, poorest.lowest_quality, round(best.fmr.confidence, 4)
        (True, None, 0.9875)
    """

    lowest_quality: float | None
    fmr: CertifiedRate
    fnmr: CertifiedRate | None
    undecided_impostor: float
    undecided_genuine: float


@dataclass(frozen=True, repr=False)
class CertifiedThresholds:
    """Thresholds by band of quality, from the best band down, all of whose promises hold together with `confidence`:
    in at most 1 − `confidence` of all samples of so many people, one or more of them is broken.

    quality_floor: pairs with an image of lower quality are too poor, because the band below cannot be certified; None
    if all bands can be. left_out: impostor pairs that no promise rests on (of people without an image in the pair's
    band; for a gallery, of enrolled people).

    Examples:
        >>> import facemargin as fm
        >>> people = [(a, b) for b in range(40) for a in range(b)]
        >>> first, second = zip(*people)
        >>> scores = [((7 * a + 3 * b) % 100) / 100 for a, b in people]
        >>> found = fm.evaluation.certify_threshold(scores, [False] * len(people), first, second, fmr=0.2)
        >>> round(found.threshold, 4), found.bands[0].fmr.certified, round(found.bands[0].fmr.observed, 3)
        (0.96, 0.2, 0.028)
        >>> found.decide(0.97), found.decide(0.5)
        ('same', 'cannot tell')
        >>> found
        CertifiedThresholds(FMR 0.2: 'same' from 0.96; 95 % confidence, 40 people)
    """

    design: Design
    confidence: float
    bands: tuple[CertifiedBand, ...]
    quality_floor: float | None
    left_out: int

    @property
    def threshold(self) -> float | None:
        """The threshold of the FMR, if there is one band; None if it is refused."""
        if len(self.bands) > 1:
            raise ConfigError(
                f"{len(self.bands)} bands of quality have thresholds of their own: bands[i].fmr.threshold"
            )
        return self.bands[0].fmr.threshold

    def band_of(self, quality: float | None) -> CertifiedBand:
        """The band of a pair whose poorer image has this quality. Several bands need one: ConfigError without it."""
        if len(self.bands) == 1:
            return self.bands[0]
        if quality is None or math.isnan(quality):
            raise ConfigError(f"the quality is {quality}; expected that of the pair's poorer image, to find its band")
        edges = [band.lowest_quality for band in self.bands[-2::-1] if band.lowest_quality is not None]
        return self.bands[len(edges) - bisect_right(edges, quality)]

    def is_too_poor(self, band: CertifiedBand) -> bool:
        """Whether pairs of this band get the answer "too poor"."""
        floor = self.quality_floor
        return floor is not None and (band.lowest_quality is None or band.lowest_quality < floor)

    def decide(self, score: float, quality: float | None = None) -> Answer:
        """The answer for a pair with this score and the quality of its poorer image, which several bands need."""
        band = self.band_of(quality)
        if quality is not None and self.quality_floor is not None and quality < self.quality_floor:
            return "too poor"
        if band.fmr.threshold is not None and score >= band.fmr.threshold:
            return "same"
        if band.fnmr is not None and band.fnmr.threshold is not None and score < band.fnmr.threshold:
            return "different"
        return "cannot tell"

    def __repr__(self) -> str:
        best = self.bands[0].fmr
        if best.threshold is None:
            promised = f"{best.name} {best.target:g} refused"
        else:
            promised = f"{best.name} {best.target:g}: 'same' from {best.threshold:.4g}"
        several = f", best of {len(self.bands)} bands" if len(self.bands) > 1 else ""
        people = counted(best.people, "person", "people")
        return f"CertifiedThresholds({promised}; {100 * self.confidence:g} % confidence, {people}{several})"


def quality_floor(bands: Sequence[CertifiedBand]) -> float | None:
    """Walk down from the best band, and stop above the first that cannot be certified. None if there is no such band;
    +inf if the best of several is such a band."""
    floor: float | None = math.inf
    for band in bands:
        if band.fmr.threshold is None:
            return floor if len(bands) > 1 else None
        floor = band.lowest_quality
    return None


class RateAt(NamedTuple):
    """A threshold, the observed rate there, the image pairs in error, their people, and the estimated interval."""

    threshold: float
    observed: float
    errors: int
    people_in_error: int
    estimated: Interval | None


def certified_rate(
    name: Literal["FMR", "FNMR"],
    target: float,
    delta: float,
    at: RateAt | None,
    pairs: int,
    people: int,
    units: int,
    design: Design,
) -> CertifiedRate:
    """The rate at a threshold; without one (`at` is None) the reason, and what could be certified."""
    per_unit = people_per_unit(design)
    needed = units_needed(target, 0.0, delta) * per_unit
    lowest = float(certified_upper_bound(0.0, units, 1 - delta)) if units else 1.0
    refusal = ""
    if at is None:
        error = "false match" if name == "FMR" else "false non-match"
        have = f"the pairs have {people:,}"
        if design == "list":
            have = f"the list, in which people are in several pairs, is worth {per_unit * units:,}"
        elif design == "gallery" and name == "FMR":
            have = f"there are {people:,} who are not enrolled"
        what = f"the lowest that can be certified is {100 * lowest:.3g} %" if units else "nothing can be certified"
        refusal = f"{name} {target:g} needs {needed:,} people with no {error}, {have}; {what}"
    return CertifiedRate(
        name=name,
        target=target,
        confidence=1 - delta,
        threshold=None if at is None else at.threshold,
        certified=None if at is None else target,
        observed=None if at is None else at.observed,
        estimated=None if at is None else at.estimated,
        errors=0 if at is None else at.errors,
        people_in_error=0 if at is None else at.people_in_error,
        pairs=pairs,
        people=people,
        units=units,
        people_per_unit=per_unit,
        people_needed=needed,
        lowest=lowest,
        refusal=refusal,
    )
