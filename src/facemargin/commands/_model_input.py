"""The options of what a network reads, for every verb that is given a MODEL."""

from dataclasses import dataclass
from typing import Literal

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
    mean: float | None = None
    """The network reads (pixel - mean)/std of pixels from 0 to 255, if the file does not say it. Needs --std."""
    std: float | None = None
    """See --mean."""
    layout: Literal["NCHW", "NHWC"] | None = None
    """The order of an ONNX file's input, (batch, colours, height, width) or (batch, height, width, colours), if the
    file does not say it."""

    def given_input(self) -> GivenInput:
        """Raises ConfigError for values that no network has."""
        return GivenInput(color_order=self.color, mean=self.mean, std=self.std, layout=self.layout)

    def options_given(self) -> list[str]:
        """The names of the options that were given."""
        names = ("family", "color", "mean", "std", "layout")
        return [f"--{name}" for name in names if getattr(self, name) is not None]
