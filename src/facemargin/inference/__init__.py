"""Putting a trained model to work."""

from facemargin.inference.model import Model, load
from facemargin.inference.model_file import ModelInfo, save_model
from facemargin.inference.views import image_views

__all__ = ["Model", "ModelInfo", "image_views", "load", "save_model"]
