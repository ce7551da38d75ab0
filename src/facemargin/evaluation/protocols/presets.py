"""How projects make a template out of the features of its images: their published numbers differ by this."""

from dataclasses import dataclass
from typing import Literal

PresetName = Literal["insightface", "adaface", "magface"]


@dataclass(frozen=True)
class Preset:
    """`mirrored`: the features of image and mirror are added; `detector_score`: and multiplied by the detector's
    score; `normalise_media`: the mean of a media gets unit length before the sum. Norms of features are kept in all."""

    mirrored: bool
    detector_score: bool
    normalise_media: bool


PRESETS: dict[PresetName, Preset] = {
    "insightface": Preset(mirrored=True, detector_score=True, normalise_media=False),
    "adaface": Preset(mirrored=True, detector_score=False, normalise_media=False),
    "magface": Preset(mirrored=False, detector_score=False, normalise_media=True),
}

DEFAULT_PRESET: PresetName = "insightface"
