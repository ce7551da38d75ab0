"""Other projects' checkpoints: whose they are, what is in them, and how their networks want to be fed."""

from facemargin.interop.checkpoint import Checkpoint, read_checkpoint
from facemargin.interop.family import FAMILIES, Family, register_family
from facemargin.interop.released_head import LoadedHead, load_head

__all__ = ["FAMILIES", "Checkpoint", "Family", "LoadedHead", "load_head", "read_checkpoint", "register_family"]
