"""Numbers in text files, read as everybody writes them.

Python's own `int` and `float` also take `1_12`, `١٢`, `nan` and `infinity`, which in a list of people are names.
"""

import math
import re

LARGEST_NUMBER = 2**63 - 1

_WHOLE = re.compile(r"([0-9]+)(?:\.0+)?", re.ASCII)
_NEGATIVE = re.compile(r"-0*[1-9][0-9]*(?:\.0+)?", re.ASCII)
_DECIMAL = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_LONGEST_WHOLE = 40


def is_digits(text: str) -> bool:
    """Whether a text is nothing but the digits 0 to 9, at least one."""
    return text.isascii() and text.isdecimal()


def whole_number(text: str) -> int | None:
    """The number that digits are, also with `.0` behind them as in "3.000000"; None for any other text, and for
    numbers that do not fit into 64 bits."""
    match = _WHOLE.fullmatch(text)
    if match is None or len(match[1]) > _LONGEST_WHOLE:
        return None
    number = int(match[1])
    return number if number <= LARGEST_NUMBER else None


def is_negative(text: str) -> bool:
    """Whether a text is a whole number below 0, as "-1" and "-1.000000"."""
    return _NEGATIVE.fullmatch(text) is not None


def decimal_number(text: str) -> float | None:
    """The number that a text such as "-0.25" or "1.5e-3" is; None for any other, also for "nan", "inf" and numbers that
    are too large for a float, such as "1e999"."""
    number = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None
