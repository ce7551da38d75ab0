"""Counts in words."""

from collections.abc import Iterable


def counted(number: int, one: str, many: str | None = None) -> str:
    """ "1 face", "2,000 faces", "0 people"; `many` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def none_readable(number: int, name: str) -> str:
    """That not one of the images of `name` can be read."""
    if number == 1:
        return f"the only image of {name} cannot be read"
    return f"none of the {number:,} images of {name} can be read"


def some_of(names: Iterable[object], shown: int = 4) -> str:
    """The first of `names` in order, and how many more there are."""
    found = sorted(map(str, names))
    return ", ".join(found[:shown]) + (f" and {len(found) - shown} more" if len(found) > shown else "")
