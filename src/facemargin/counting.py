"""Counts in words."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """ "1 face", "2,000 faces", "0 people"; `many` where it is not `one` with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def none_readable(number: int, name: str) -> str:
    """That not one of the images of `name` can be read."""
    if number == 1:
        return f"the only image of {name} cannot be read"
    return f"none of the {number:,} images of {name} can be read"
