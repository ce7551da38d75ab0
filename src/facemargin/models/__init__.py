"""The recogniser: images in, unit vectors, norms and qualities out; loading it, saving it, and how it computes."""

from facemargin.models.info import ModelInfo, save_model
from facemargin.models.load import load
from facemargin.models.model import Model
from facemargin.models.views import image_views

__all__ = ["Model", "ModelInfo", "image_views", "load", "save_model"]
