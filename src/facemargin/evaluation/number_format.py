"""How numbers are written: the same in tables of the terminal, on pages, and in Markdown and LaTeX. Only .csv and .json
files have full precision."""

import math
from collections.abc import Callable

NOT_AVAILABLE = "–"

AREA_DECIMALS = 4
RATIO_DECIMALS = 3
_SMALL_DIGITS = 3


def measured_rate(fraction: float, pairs: int) -> str:
    """A measured rate in percent, with the digits that this number of pairs justifies: 92.9%, or 99.55% from 1,000
    pairs on."""
    return f"{fraction:.1%}" if pairs < 1000 else f"{fraction:.2%}"


def rate_text(fraction: float) -> str:
    """A rate in percent, if it is not known how many pairs it rests on."""
    return f"{fraction:.2%}"


def percent(fraction: float) -> str:
    """A fraction that somebody chose, in percent with all its digits: 0.001 as 0.1%."""
    return f"{100 * fraction:.6g}%"


def small_rate(fraction: float) -> str:
    """A rate in percent with three digits, for rates that may be far below 1%: 0.0123%."""
    return _three_digits(100 * fraction)


def small_limit(fraction: float) -> str:
    """What a rate does not exceed, as `small_rate`, but rounded up: a bound that is rounded down would be none."""
    value = 100 * fraction
    step = 10.0 ** (math.floor(math.log10(value)) - _SMALL_DIGITS + 1)
    return _three_digits(min(100.0, math.ceil(value / step * (1 - 1e-12)) * step))


def points_text(difference: float) -> str:
    """A difference of two rates in percentage points: +1.25."""
    return f"{100 * difference:+.2f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p-value."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


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


def _three_digits(value: float) -> str:
    return "0%" if value == 0 else f"{value:#.{_SMALL_DIGITS}g}".rstrip(".") + "%"
