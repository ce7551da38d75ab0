"""How different projects pool the features of images into a template. Their published numbers depend on it."""

from dataclasses import dataclass
from typing import Literal

PresetName = Literal["insightface", "adaface", "magface"]


@dataclass(frozen=True)
class Preset:
    """`mirrored`: the features of an image and its mirror image are added. `detector_score`: features are multiplied by
    the detector's score. `normalize_media`: the mean of a media is normalised before the sum. Features keep their norms
    in all presets."""

    mirrored: bool
    detector_score: bool
    normalize_media: bool


PRESETS: dict[PresetName, Preset] = {
    "insightface": Preset(mirrored=True, detector_score=True, normalize_media=False),
    "adaface": Preset(mirrored=True, detector_score=False, normalize_media=False),
    "magface": Preset(mirrored=False, detector_score=False, normalize_media=True),
}

DEFAULT_PRESET: PresetName = "insightface"
