"""The options of what a network reads, for every verb that is given a MODEL."""

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro

from facemargin.data.images.normalization import PerChannel, per_channel
from facemargin.errors import ConfigError
from facemargin.interop.family import FamilyName
from facemargin.models.given_input import GivenInput


@dataclass(frozen=True, kw_only=True)
class InputArguments:
    """What a network reads, where its file does not say it, or says it wrongly."""

    family: FamilyName | None = None
    """The project whose conventions the file follows, if it cannot be recognised from the file. It never can for an
    ONNX file."""
    color: Literal["RGB", "BGR"] | None = None
    """The colour order that the network reads, if the file does not say it."""
    mean: Annotated[str | None, tyro.conf.arg(metavar="NUMBER|A,B,C")] = None
    """The network reads (pixel - mean)/std of pixels from 0 to 255, if the file does not say it: one number, or three
    with commas, in the order of the network's channels (red, green, blue for RGB). Needs --std."""
    std: Annotated[str | None, tyro.conf.arg(metavar="NUMBER|A,B,C")] = None
    """See --mean."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """The order of an ONNX file's input, (batch, colours, height, width) or (batch, height, width, colours), if the
    file does not say it."""

    def given_input(self) -> GivenInput:
        """Raises ConfigError for values that no network has."""
        mean, std = _numbers("--mean", self.mean), _numbers("--std", self.std)
        return GivenInput(color_order=self.color, mean=mean, std=std, layout=self.layout)

    def options_given(self) -> list[str]:
        """The names of the options that were given."""
        names = ("family", "color", "mean", "std", "layout")
        return [f"--{name}" for name in names if getattr(self, name) is not None]


def _numbers(option: str, text: str | None) -> PerChannel | None:
    """One number, or three with commas between them."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
        return per_channel(option.strip("-"), numbers[0] if len(numbers) == 1 else numbers)
    except ValueError as error:  # ConfigError is one
        if isinstance(error, ConfigError) and len(numbers) in (1, 3):
            raise
        raise ConfigError(
            f"{option} is {text!r}, expected a number such as 127.5, or three with commas between them, such as "
            "123.675,116.28,103.53"
        ) from error
