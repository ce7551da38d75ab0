"""The answer to "who is this?"."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from facemargin.gallery.rule import SearchRule
from facemargin.quality.image_statistics import Reason

Answer = Literal["this person", "nobody enrolled", "cannot tell", "too poor to decide"]


@dataclass(frozen=True)
class Candidate:
    """An enrolled person and the score of the probe with the person's template."""

    person: str
    score: float


@dataclass(frozen=True)
class Identification:
    """Who a probe shows, by one image or several that were pooled (`sources`).

    decision: "this person", who is `person`; "nobody enrolled"; "cannot tell"; or "too poor to decide"; None without
    thresholds. score: of the best candidate, NaN where there is none. quality: of the probe, NaN if no image could be
    used. candidates: the most alike, best first, whatever the decision. reasons: why there is no other decision, or why
    images were left out of it.

    Examples:
        >>> import facemargin as fm, tempfile
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> gallery = fm.Gallery.create(tempfile.mkdtemp() + "/gallery", model)
        >>> done = gallery.enrol(fm.open_images("orl:1-2"), gate="off")
        >>> found, = gallery.identify(fm.open_images("orl:1").read(3))
        >>> len(found.candidates), found.score == found.candidates[0].score
        (2, True)
    """

    sources: tuple[str, ...]
    decision: Answer | None
    person: str | None
    score: float
    quality: float
    candidates: tuple[Candidate, ...]
    reasons: tuple[Reason, ...]

    def explain(self, rule: SearchRule | None) -> list[str]:
        """How the decision comes about, in sentences."""
        lines = [reason.words for reason in self.reasons]
        if self.candidates:
            ranked = ", ".join(f"{one.person} {one.score:.4f}" for one in self.candidates)
            lines.append(f"most alike: {ranked}")
        if not math.isnan(self.quality):
            floor = "" if rule is None or rule.quality_floor is None else f", enough from {rule.quality_floor:.4g} on"
            # with reasons some may have been left out, and how many is not known here
            images = "the images that count" if self.reasons else f"{len(self.sources)} images pooled"
            pooled = f" of {images}" if len(self.sources) > 1 else ""
            lines.append(f"quality {self.quality:.4g}{pooled}{floor}")
        return lines


def decide(
    sources: Sequence[str],
    quality: float,
    candidates: Sequence[Candidate],
    rule: SearchRule | None,
    reasons: Sequence[Reason] = (),
) -> Identification:
    """By the rule: a probe of too low a quality is too poor, whatever its scores; one that two enrolled people reach
    the threshold with could be either; none without a rule."""
    found = list(reasons)
    best = candidates[0] if candidates else None
    score = math.nan if best is None else best.score
    decision: Answer | None = None
    if rule is not None:
        decision = _answer(quality, candidates, rule, found)
    person = best.person if best is not None and decision == "this person" else None
    return Identification(tuple(sources), decision, person, score, quality, tuple(candidates), tuple(found))


def too_poor(sources: Sequence[str], reasons: Sequence[Reason]) -> Identification:
    """The answer where no image can be used."""
    return Identification(tuple(sources), "too poor to decide", None, math.nan, math.nan, (), tuple(reasons))


def _answer(quality: float, candidates: Sequence[Candidate], rule: SearchRule, reasons: list[Reason]) -> Answer:
    if rule.quality_floor is not None and quality < rule.quality_floor:
        words = f"low quality: {quality:.4g}, expected at least {rule.quality_floor:.4g} for this model"
        reasons.append(Reason("low_quality", words))
        return "too poor to decide"
    reaching = [one for one in candidates if one.score >= rule.accept]
    if len(reaching) > 1:
        first, second = reaching[:2]
        words = (
            f"several people: {first.person!r} with {first.score:.4f} and {second.person!r} with {second.score:.4f} "
            f"both reach {rule.accept:.4f}"
        )
        reasons.append(Reason("several_people", words))
        return "cannot tell"
    if reaching:
        return "this person"
    if not candidates:
        return "nobody enrolled"
    if rule.reject is None or candidates[0].score >= rule.reject:
        words = f"between: score {candidates[0].score:.4f}, {rule.accept:.4f} and more is certified as the person"
        words += ", and nothing as nobody" if rule.reject is None else f", below {rule.reject:.4f} as nobody"
        reasons.append(Reason("between_thresholds", words))
        return "cannot tell"
    return "nobody enrolled"
