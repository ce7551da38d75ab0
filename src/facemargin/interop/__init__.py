"""Checkpoints of other projects: recognising the project, reading the weights, and preparing the input of their
networks."""

from facemargin.interop.checkpoint import Checkpoint, read_checkpoint
from facemargin.interop.family import FAMILIES, Family, register_family
from facemargin.interop.released_head import LoadedHead, load_head

__all__ = ["FAMILIES", "Checkpoint", "Family", "LoadedHead", "load_head", "read_checkpoint", "register_family"]
