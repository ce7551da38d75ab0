"""Formats numbers and lists for the text of a report."""

import math
from collections.abc import Sequence

from facemargin.evaluation.number_format import percent as percent


def far_text(far: float) -> str:
    """ "FAR 1%" with a no-break space."""
    return f"FAR\N{NO-BREAK SPACE}{percent(far)}"


def angle_text(degrees: float) -> str:
    """ "+12°", "−3°" or "+0°" """
    return f"{round(degrees):+d}°".replace("-", "−")


def psnr_text(psnr: float) -> str:
    """ "21.5 dB" with a no-break space; a dash for NaN, which means that there were no pixels."""
    return "–" if math.isnan(psnr) else f"{psnr:.1f}\N{NO-BREAK SPACE}dB"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c" """
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def as_sentence(text: str) -> str:
    """ "it falls with blur" as "It falls with blur." """
    return f"{text[:1].upper()}{text[1:]}."


def short(text: str, length: int = 40) -> str:
    """`text`, shortened if it would not fit into a figure."""
    return text if len(text) <= length else text[: length - 1] + "…"
