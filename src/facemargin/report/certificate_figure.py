"""The answers of a certificate by score, one bar per band of quality."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from facemargin.decision.guarantee import band_quality
from facemargin.evaluation.metrics.certified_thresholds import CertifiedBand, CertifiedThresholds
from facemargin.report.style import FIGURE_WIDTH, MUTED, SHADE, STYLE, legend_above

_COLORS = {"different": "#e69f00", "cannot tell": SHADE, "same": "#56b4e9", "too poor": "#ffffff"}
_ON_COLOR = "#111111"
"""Of numbers on the colours, which are light on a dark page, too."""

_BEYOND = 0.15


@mpl.rc_context(STYLE)
def threshold_figure(found: CertifiedThresholds) -> Figure:
    """From which score on a pair is "same", and below which "different"; the best band on top."""
    bands = found.bands
    known = [at for band in bands for at in (_low(band), band.fmr.threshold) if at is not None]
    left, right = min([0.0, *known]) - _BEYOND, max([0.5, *known]) + _BEYOND
    figure = Figure(figsize=(FIGURE_WIDTH, 0.8 + 0.5 * len(bands)))
    axes = figure.subplots()
    shown = []
    for number, band in enumerate(bands):
        for answer, start, end in _parts(found, band, left, right):
            axes.barh(number, end - start, left=start, height=0.7, linewidth=0.6, **_drawn(answer))
            shown.append(answer)
        for at, side in ((_low(band), "right"), (band.fmr.threshold, "left")):
            if at is not None and not found.is_too_poor(band):
                axes.text(at, number, f" {at:.3f} ", ha=side, va="center", color=_ON_COLOR)
    axes.set_yticks(range(len(bands)), [band_quality(bands, number) for number in range(len(bands))])
    axes.invert_yaxis()
    axes.set_xlim(left, right)
    axes.set_xlabel("similarity score of the pair")
    axes.set_ylabel("quality")
    axes.grid(visible=False)
    answers = [answer for answer in _COLORS if answer in shown]
    legend_above(figure, [Patch(**_drawn(answer)) for answer in answers], answers)
    return figure


def _low(band: CertifiedBand) -> float | None:
    return None if band.fnmr is None else band.fnmr.threshold


def _drawn(answer: str) -> dict[str, Any]:
    return {"facecolor": _COLORS[answer], "edgecolor": MUTED, "hatch": "////" if answer == "too poor" else None}


def _parts(
    found: CertifiedThresholds, band: CertifiedBand, left: float, right: float
) -> Sequence[tuple[str, float, float]]:
    """Each answer of the band with the scores at which it begins and ends."""
    if found.is_too_poor(band):
        return [("too poor", left, right)]
    low = left if _low(band) is None else _low(band)
    high = right if band.fmr.threshold is None else band.fmr.threshold
    assert low is not None
    parts = [("different", left, low), ("cannot tell", low, high), ("same", high, right)]
    return [part for part in parts if part[2] > part[1]]
