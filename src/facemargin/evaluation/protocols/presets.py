"""How projects make a template out of the features of its images: their published numbers differ by this."""

from dataclasses import dataclass
from typing import Literal

PresetName = Literal["insightface", "adaface", "magface"]


@dataclass(frozen=True)
class Preset:
    """`mirrored`: the features of image and mirror are added; `detector_score`: and multiplied by the detector's
    score; `normalize_media`: the mean of a media gets unit length before the sum. Norms of features are kept in all."""

    mirrored: bool
    detector_score: bool
    normalize_media: bool


PRESETS: dict[PresetName, Preset] = {
    "insightface": Preset(mirrored=True, detector_score=True, normalize_media=False),
    "adaface": Preset(mirrored=True, detector_score=False, normalize_media=False),
    "magface": Preset(mirrored=False, detector_score=False, normalize_media=True),
}

DEFAULT_PRESET: PresetName = "insightface"
