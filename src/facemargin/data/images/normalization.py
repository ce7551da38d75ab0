"""How a network scales pixels: (pixel − mean)/std of 0…255, with one number for all channels or one for each.

Three numbers are always in the order of the channels that the network reads: red, green, blue for RGB, and blue, green,
red for BGR.
"""

import math
from collections.abc import Sequence
from numbers import Real

from facemargin.errors import ConfigError

PerChannel = float | tuple[float, float, float]

IMAGENET_MEAN: tuple[float, float, float] = (123.675, 116.28, 103.53)
IMAGENET_STD: tuple[float, float, float] = (58.395, 57.12, 57.375)
"""0…255, in the order RGB; torchvision writes them for pixels from 0 to 1."""


def per_channel(name: str, value: object) -> PerChannel:
    """The number, or the three of a sequence as a tuple (as one number if they are equal). `name` is "mean" or "std".

    Raises ConfigError for what is not one finite number or three, and for a std that is not positive.
    """
    number = value if isinstance(value, Real) else None
    values = [value] if number is not None else _items(value)
    if len(values) not in (1, 3) or not all(_is_number(item) for item in values):
        raise ConfigError(f"{name} is {value!r}, expected a number, or three, one for each channel of the network")
    numbers = tuple(item if type(item) is int else float(item) for item in values)  # type: ignore[arg-type]
    if name == "std" and not min(numbers) > 0:
        raise ConfigError(f"std is {value!r}, expected {'a positive number' if len(numbers) == 1 else 'positive ones'}")
    if len(set(numbers)) == 1:
        return numbers[0]
    first, second, third = map(float, numbers)
    return first, second, third


def given_normalization(mean: object, std: object) -> tuple[PerChannel, PerChannel]:
    """As `per_channel`, of what a person gives. Also raises ConfigError for numbers that fit pixels from 0 to 1, such
    as torchvision's, instead of 0…255."""
    mean, std = per_channel("mean", mean), per_channel("std", std)
    means, stds = channels(mean), channels(std)
    if max(stds) < 1 or any(0 < abs(number) < 1 for number in means):
        times_255 = [tuple(round(255 * number, 6) for number in numbers) for numbers in (means, stds)]
        shown = [
            number_text(per_channel(name, numbers)) for name, numbers in zip(("mean", "std"), times_255, strict=True)
        ]
        raise ConfigError(
            f"mean {number_text(mean)} and std {number_text(std)} look like values for pixels from 0 to 1, but pixels "
            f"are from 0 to 255 here: multiply both by 255, which gives mean {shown[0]} and std {shown[1]}"
        )
    return mean, std


def channels(value: PerChannel) -> tuple[float, float, float]:
    """The numbers of the three channels."""
    return value if isinstance(value, tuple) else (value, value, value)


def number_text(value: PerChannel) -> str:
    """ "127.5", "(123.675, 116.28, 103.53)"."""
    return f"({', '.join(f'{number:g}' for number in value)})" if isinstance(value, tuple) else f"{value:g}"


def normalization_text(mean: PerChannel, std: PerChannel) -> str:
    """ "(v − 127.5)/127.5"."""
    return f"(v − {number_text(mean)})/{number_text(std)}"


def _items(value: object) -> list[object]:
    if isinstance(value, str | bytes) or not (isinstance(value, Sequence) or hasattr(value, "tolist")):
        return []
    return list(value) if isinstance(value, Sequence) else list(value.tolist())


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False
