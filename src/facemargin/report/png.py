"""Pictures as PNG. Shapes: H × W pixels, C = 3 (RGB)."""

import base64
from typing import Any

import cv2
from numpy.typing import NDArray


def png_bytes(image_HWC: NDArray[Any]) -> bytes:
    """A uint8 RGB image as a PNG file; a grey image takes a third of the space."""
    is_gray = (image_HWC == image_HWC[..., :1]).all()
    _, png = cv2.imencode(".png", image_HWC[..., 0] if is_gray else cv2.cvtColor(image_HWC, cv2.COLOR_RGB2BGR))
    return png.tobytes()


def png_uri(image_HWC: NDArray[Any]) -> str:
    """`png_bytes` as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image_HWC)).decode("ascii")
