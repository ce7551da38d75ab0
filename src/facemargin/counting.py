"""Texts for counts."""

from collections.abc import Iterable


def counted(number: int, singular: str, plural: str | None = None) -> str:
    """ "1 face", "2,000 faces", "0 people". `plural` is only needed if it is not `singular` with an s."""
    return f"{number:,} {singular if number == 1 else plural or f'{singular}s'}"


def none_readable(number: int, name: str) -> str:
    """The message that no image of `name` can be read."""
    if number == 1:
        return f"the only image of {name} cannot be read"
    return f"none of the {number:,} images of {name} can be read"


def some_of(names: Iterable[object], shown: int = 4) -> str:
    """The first of `names` in order, and how many more there are."""
    texts = sorted(map(str, names))
    return ", ".join(texts[:shown]) + (f" and {len(texts) - shown} more" if len(texts) > shown else "")
