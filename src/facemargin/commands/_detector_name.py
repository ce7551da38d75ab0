"""The values of --detector: every registered detector."""

from typing import TYPE_CHECKING, Literal

from facemargin.detection import list_detectors

if TYPE_CHECKING:
    DetectorName = str
else:
    DetectorName = Literal[tuple(list_detectors())]
