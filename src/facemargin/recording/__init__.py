"""The flight recorder's files: what a head found of every image at every step of a training."""

from facemargin.recording.reader import Recording, load_recording

__all__ = ["Recording", "load_recording"]
