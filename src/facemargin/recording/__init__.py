"""The flight recorder's files: what a head found of every image at every step of a training."""

from facemargin.recording.reader import Recording, load_recording
from facemargin.recording.replay import Replay, replay

__all__ = ["Recording", "Replay", "load_recording", "replay"]
