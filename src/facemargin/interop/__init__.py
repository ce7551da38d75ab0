"""Checkpoints of other projects: recognising the project, reading the weights, and preparing the input of their
networks."""

from facemargin.interop.checkpoint import Checkpoint, read_checkpoint
from facemargin.interop.family import FAMILIES, Family, register_family
from facemargin.interop.released import RELEASED, ReleasedModel, list_models, register_released
from facemargin.interop.released_head import LoadedHead, load_head
from facemargin.interop.released_source import HubFile, WheelFile

__all__ = [
    "FAMILIES",
    "RELEASED",
    "Checkpoint",
    "Family",
    "HubFile",
    "LoadedHead",
    "ReleasedModel",
    "WheelFile",
    "list_models",
    "load_head",
    "read_checkpoint",
    "register_family",
    "register_released",
]
