"""How numbers are written: the same in tables of the terminal, on pages, and in Markdown and LaTeX. Only .csv and .json
files have full precision."""

from collections.abc import Callable

NOT_AVAILABLE = "–"

AREA_DECIMALS = 4
RATIO_DECIMALS = 3


def measured_rate(fraction: float, pairs: int) -> str:
    """A measured rate in percent, with the digits that this number of pairs justifies: 92.9%, or 99.55% from 1,000
    pairs on."""
    return f"{fraction:.1%}" if pairs < 1000 else f"{fraction:.2%}"


def rate_text(fraction: float) -> str:
    """A rate in percent, if it is not known how many pairs it rests on."""
    return f"{fraction:.2%}"


def ratio_text(ratio: float) -> str:
    """A ratio of two areas: 0.873."""
    return f"{ratio:.{RATIO_DECIMALS}f}"


def correlation_text(rho: float) -> str:
    """A correlation: 0.87."""
    return f"{rho:.2f}"


def interval_text(interval: tuple[float, float], write: Callable[[float], str]) -> str:
    """ "88.0–96.1%" """
    low, high = map(write, interval)
    return f"{low.removesuffix('%')}–{high}"
