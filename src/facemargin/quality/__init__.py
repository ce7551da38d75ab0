"""The quality of face images, and degraded faces to test measures of quality with."""

from typing import Literal

QualityName = Literal["norm", "crfiqa"]
"""How a model measures an image's quality: by the norm of its feature, or by the prediction of CR-FIQA's layer."""
