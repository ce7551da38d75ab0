"""Videos written for a test: embedded faces on a moving background, whose people, places and times are known."""

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from facemargin.data.formats.orl import EmbeddedFaces
from tests.photographs import canvas, put

RATE = 25
HEIGHT, WIDTH = 240, 400


def face_of(person: int, frame: int) -> np.ndarray:
    """One of the ten pictures of a person (0 to 39); each stays for half a second."""
    return EmbeddedFaces(square=False).read(10 * person + frame // 12 % 10)


def clip(count: int, draw: Callable[[np.ndarray, int], None], height: int = HEIGHT, width: int = WIDTH):
    """`count` frames (H, W, 3) RGB: a background that drifts, on which `draw(frame, number)` puts faces."""
    wide = canvas(height, width + count, seed=7)
    for number in range(count):
        frame = np.ascontiguousarray(wide[:, number : number + width])
        draw(frame, number)
        yield frame


def write_video(path: Path, frames: Iterable[np.ndarray], rate: float = RATE, codec: str = "mp4v") -> Path:
    writer = None
    path.parent.mkdir(parents=True, exist_ok=True)
    for frame in frames:
        if writer is None:
            size = frame.shape[1], frame.shape[0]
            writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size)
            assert writer.isOpened(), codec
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    assert writer is not None
    writer.release()
    return path


def stand(person: int, x: float, y: float = HEIGHT / 2, scale: float = 1.3, blurred: Iterable[int] = ()):
    """Draws a person at a place, blurred in some frames."""
    blurred = frozenset(blurred)

    def draw(frame: np.ndarray, number: int) -> None:
        face = face_of(person, number)
        if number in blurred:
            face = cv2.GaussianBlur(face, (0, 0), 5)
        put(frame, face, (x, y), scale)

    return draw


def turned(encoded: bytes, degrees: int) -> bytes:
    """An MP4 whose pictures are shown turned clockwise by 90, 180 or 270 degrees, as telephones write them."""
    place = encoded.index(b"tkhd") + 4 + 4 + (20 if encoded[encoded.index(b"tkhd") + 4] == 0 else 32) + 16
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = np.array([cos << 16, sin << 16, 0, -sin * 65536, cos << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    return encoded[:place] + matrix + encoded[place + 36 :]
