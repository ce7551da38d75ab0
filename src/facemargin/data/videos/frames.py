"""Samples the frames of a video with OpenCV's FFmpeg, in bounded memory: one frame at a time.

Shapes: H × W pixels.
"""

import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from facemargin.data.images.kind import image_suffix
from facemargin.data.images.silence import OPENCV_SILENT
from facemargin.data.source import RGBImage
from facemargin.data.videos.kind import BEGINNING, KNOWN_KINDS, video_kind
from facemargin.errors import ConfigError, CorruptVideoError

# 8192 × 8192: twice the pixels of 8K. A damaged or harmful file may claim any size.
_MOST_PIXELS = 1 << 26
# From a picture an hour on.
_RATES = (1 / 3600, 1000.0)
_USUAL_RATE = 25.0
# A video of rounded or estimated length may end so much before the stated end.
_END_SECONDS, _END_SHARE = 1.0, 0.1
_MOST_SECONDS = 1e7


@dataclass(frozen=True)
class VideoFrame:
    """Frame number `index` of a video, counted from 0, at `seconds` from its start: (H, W, 3) uint8 RGB, upright."""

    index: int
    seconds: float
    image: RGBImage


class VideoFrames:
    """The frames of the video at `path`, `frames_per_second` of them: the first frame at or after each multiple of
    1 / frames_per_second, by the time that the file gives for each frame, so that a varying frame rate does not matter.
    Frames are turned as the file says (telephones).

    Iterate over it once. `stated_frames` is the number of frames according to the file, 0 if that is unknown;
    `num_read` and `seconds` are the number of all frames read so far and the time of the last one, `num_sampled` is the
    number of those that were given. After the end, `problem` says if the video ends early.

    Raises CorruptVideoError, which names the file, if it cannot be opened or has no frame that can be read, and
    ConfigError for a number of frames per second that is not positive.
    """

    def __init__(self, path: str | Path, frames_per_second: float) -> None:
        if not (math.isfinite(frames_per_second) and frames_per_second > 0):
            raise ConfigError(f"{frames_per_second} frames per second, expected a positive number")
        self.path, self.frames_per_second = Path(path), float(frames_per_second)
        self.kind = _require_video(self.path)
        self.stated_frames = self.num_read = self.num_sampled = 0
        self.seconds = 0.0
        self.problem = ""

    def __iter__(self) -> Iterator[VideoFrame]:
        with _opened(self.path, self.kind) as capture:
            rate, stated = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            rate = rate if _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE
            self.stated_frames = round(stated) if 0 < stated / rate < _MOST_SECONDS else 0
            yield from self._sampled(capture, rate)
        if not self.num_sampled:
            raise CorruptVideoError(f"{self.path}: the video ({self.kind}) has no frame that can be read")
        stated_seconds = self.stated_frames / rate
        if self.seconds + 1 / rate < stated_seconds - max(_END_SECONDS, _END_SHARE * stated_seconds):
            self.problem = (
                f"{self.path}: the video can be read up to {self.seconds:.1f} s of {stated_seconds:.1f} s, so it is "
                "truncated or damaged; what could be read is used"
            )

    def _sampled(self, capture: cv2.VideoCapture, rate: float) -> Iterator[VideoFrame]:
        due = 0
        while _grabbed(capture):
            self.seconds = self._time(capture, rate)
            index, self.num_read = self.num_read, self.num_read + 1
            # 1e-6: a time such as 0.2 may be written as 0.19999999.
            place = math.floor(self.seconds * self.frames_per_second + 1e-6)
            if place < due:
                continue
            image = _image(capture)
            if image is not None:  # otherwise the next one takes its place
                due, self.num_sampled = place + 1, self.num_sampled + 1
                yield VideoFrame(index, self.seconds, image)

    def _time(self, capture: cv2.VideoCapture, rate: float) -> float:
        """The time of the current frame. Where the file gives none, or one that is not later than the one before, the
        frame follows the one before by 1 / rate."""
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not self.num_read:
            return seconds if 0 <= seconds < _MOST_SECONDS else 0.0
        return seconds if self.seconds < seconds < _MOST_SECONDS else self.seconds + 1 / rate


def _require_video(path: Path) -> str:
    """The container of a video. Raises CorruptVideoError if the file cannot be read or is no video."""
    try:
        status = path.stat()
        is_file = stat.S_ISREG(status.st_mode)
        beginning = b""
        if is_file:  # a pipe would be waited for
            with path.open("rb") as file:
                beginning = file.read(BEGINNING)
    except (OSError, ValueError) as error:
        raise CorruptVideoError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if not is_file:
        raise CorruptVideoError(f"{path}: is not a file, expected a video")
    if not beginning:
        raise CorruptVideoError(f"{path}: the video is empty (0 bytes)")
    kind = video_kind(beginning)
    if kind is None and (suffix := image_suffix(beginning)) is not None:
        raise CorruptVideoError(
            f"{path}: is an image ({suffix}), expected a video: images are embedded without --video"
        )
    if kind is None:
        raise CorruptVideoError(
            f"{path}: not a video of a known format ({status.st_size:,} bytes that begin with {beginning[:8]!r}); "
            f"expected {KNOWN_KINDS}"
        )
    return kind


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[cv2.VideoCapture]:
    # FFmpeg prints what it meets in a damaged file, and reads this variable once, when the first video is opened.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    with _plain_name(path) as name, OPENCV_SILENT:
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise CorruptVideoError(
                f"{path}: OpenCV finds no video in it that it can decode ({kind}): it is damaged or truncated, has "
                "only sound, or its codec is missing; another program may convert it to MP4 with H.264"
            )
        width, height = (capture.get(what) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        if not 0 < width * height <= _MOST_PIXELS:
            raise CorruptVideoError(f"{path}: the video claims frames of {width:.0f} × {height:.0f} pixels")
        yield capture
    finally:
        capture.release()


@contextmanager
def _plain_name(path: Path) -> Iterator[str]:
    """A name of the file that OpenCV can open: absolute, so that it is no address, and in UTF-8 (any other one ends the
    process)."""
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, f"video{path.suffix}".encode("ascii", "ignore").decode())
            link.symlink_to(name)
            yield str(link)
    else:
        yield name


def _grabbed(capture: cv2.VideoCapture) -> bool:
    with OPENCV_SILENT:
        try:
            return capture.grab()
        except cv2.error:
            return False


def _image(capture: cv2.VideoCapture) -> RGBImage | None:
    """The current frame; None if it cannot be decoded."""
    with OPENCV_SILENT:
        try:
            is_read, image_bgr = capture.retrieve()
        except cv2.error:
            return None
    if not is_read or image_bgr is None or image_bgr.ndim != 3 or image_bgr.shape[2] != 3:
        return None
    return cv2.cvtColor(image_bgr, cv2.COLOR_BGR2RGB)
