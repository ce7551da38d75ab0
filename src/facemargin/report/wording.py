"""Numbers and lists as a report words them."""

import math
from collections.abc import Sequence


def percent(fraction: float) -> str:
    """A round number in percent, with as many digits as it has: 0.001 as 0.1%."""
    return f"{100 * fraction:.6g}%"


def far_text(far: float) -> str:
    """ "FAR 1%", which no line break parts."""
    return f"FAR\N{NO-BREAK SPACE}{percent(far)}"


def measured_rate(fraction: float, pairs: int) -> str:
    """A measured rate in percent, with the digits that so many pairs can carry: 92.9%, or 99.55% of 1,000 and more."""
    return f"{fraction:.1%}" if pairs < 1000 else f"{fraction:.2%}"


def angle_text(degrees: float) -> str:
    """ "+12°", "−3°" or "+0°" """
    return f"{round(degrees):+d}°".replace("-", "−")


def psnr_text(psnr: float) -> str:
    """ "21.5 dB", which no line break parts; a dash for NaN, the PSNR of no pixels."""
    return "–" if math.isnan(psnr) else f"{psnr:.1f}\N{NO-BREAK SPACE}dB"


def listed(items: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c" """
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def short(text: str, length: int = 40) -> str:
    """`text`, its end cut off where it would not fit into a figure."""
    return text if len(text) <= length else text[: length - 1] + "…"
