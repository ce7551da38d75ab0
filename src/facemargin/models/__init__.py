"""The recogniser, which computes unit vectors, norms and qualities of images: loading, saving and running it."""

from facemargin.models.info import ModelInfo, save_model
from facemargin.models.load import load
from facemargin.models.model import Model
from facemargin.models.views import image_views
from facemargin.models.wrap import wrap

__all__ = ["Model", "ModelInfo", "image_views", "load", "save_model", "wrap"]
