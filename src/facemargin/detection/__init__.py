"""From photographs to faces, and to aligned faces."""

from facemargin.detection.detect import align, detect
from facemargin.detection.face import Face

__all__ = ["Face", "align", "detect"]
