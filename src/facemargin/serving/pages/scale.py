"""Where a score lies between the thresholds, to be drawn as a bar."""

import math
from dataclasses import dataclass

_LOW, _HIGH = -0.2, 1.0
WIDTH = 320.0


@dataclass(frozen=True)
class Zone:
    """A part of the bar, in its units from 0 to WIDTH; `name` is one of no, unsure, yes."""

    name: str
    start: float
    width: float


@dataclass(frozen=True)
class ScoreBar:
    """Zones, the place of the score, and what it says in words."""

    zones: tuple[Zone, ...]
    place: float
    words: str


def score_bar(score: float, accept: float | None, reject: float | None, yes: str, no: str) -> ScoreBar | None:
    """From `accept` on it is `yes`, below `reject` `no`, between them neither. None without a score or a threshold."""
    if math.isnan(score) or (accept is None and reject is None):
        return None
    upper = _place(accept) if accept is not None else WIDTH
    lower = _place(reject) if reject is not None else 0.0
    lower = min(lower, upper)
    zones = [Zone("no", 0.0, lower), Zone("unsure", lower, upper - lower), Zone("yes", upper, WIDTH - upper)]
    words = f"score {score:.4f}"
    if reject is not None:
        words += f"; below {reject:.4f} {no}"
    if accept is not None:
        words += f"; from {accept:.4f} on {yes}"
    kept = tuple(Zone(zone.name, round(zone.start, 1), round(zone.width, 1)) for zone in zones if zone.width > 0)
    return ScoreBar(kept, round(_place(score), 1), words)


def _place(score: float) -> float:
    return WIDTH * (min(max(score, _LOW), _HIGH) - _LOW) / (_HIGH - _LOW)
