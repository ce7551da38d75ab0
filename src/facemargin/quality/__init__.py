"""What an image's quality is, and faces made worse on purpose to measure it."""

from typing import Literal

QualityName = Literal["norm", "crfiqa"]
"""What a model takes for an image's quality: the norm of its feature, or the prediction of CR-FIQA's layer."""
