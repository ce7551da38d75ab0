"""Samples the frames of a video file with OpenCV's FFmpeg, in bounded memory: one frame at a time.

Shapes: H × W pixels.
"""

import math
import os
import stat
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from facemargin.counting import counted
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
# A video has ended when so many frames in a row cannot be decoded, or none for so long.
_MOST_UNDECODABLE, _PATIENCE_SECONDS = 100, 10.0


@dataclass(frozen=True)
class VideoFrame:
    """Frame number `index` of a video, counted from 0, at `seconds` from its start: (H, W, 3) uint8 RGB, upright."""

    index: int
    seconds: float
    image: RGBImage


class SampledFrames(ABC):
    """Some frames of a video, `frames_per_second` of them: the first frame at or after each multiple of
    1 / frames_per_second, by the time that the video gives for each frame.

    Iterate over it once. `stated_frames` is the number of frames according to the file, 0 if that is unknown;
    `num_read` and `seconds` are the number of all frames read so far and the time of the last one, `num_sampled` is the
    number of those that were given, and `num_undecodable` of those that are damaged, which are passed over. After the
    end, `problem` says what is wrong with the video, such as that it `ends_early`. `name` is what messages call it.
    """

    def __init__(self, name: str, frames_per_second: float) -> None:
        if not (math.isfinite(frames_per_second) and frames_per_second > 0):
            raise ConfigError(f"{frames_per_second} frames per second, expected a positive number")
        self.name, self.frames_per_second = name, float(frames_per_second)
        self.stated_frames = self.num_read = self.num_sampled = self.num_undecodable = 0
        self.seconds = 0.0
        self.problem = ""
        self.ends_early = False
        self._damaged_at = 0.0

    @abstractmethod
    def __iter__(self) -> Iterator[VideoFrame]:
        """The sampled frames, in order."""

    def _sampled(self, capture: cv2.VideoCapture, rate: float) -> Iterator[VideoFrame]:
        due = 0
        while self._next(capture):
            self.seconds = self._time(capture, rate)
            if self._is_over():
                return
            index, self.num_read = self.num_read + self.num_undecodable, self.num_read + 1
            # 1e-6: a time such as 0.2 may be written as 0.19999999.
            place = math.floor(self.seconds * self.frames_per_second + 1e-6)
            if place < due:
                continue
            image = _image(capture)
            if image is None:  # the next one takes its place
                self._pass_over(1)
            else:
                due, self.num_sampled = place + 1, self.num_sampled + 1
                yield VideoFrame(index, self.seconds, image)

    def _is_over(self) -> bool:
        """Whether enough has been seen, at `seconds`."""
        return False

    def _next(self, capture: cv2.VideoCapture) -> bool:
        """Whether there is another frame. A frame that cannot be decoded looks like the end, until the next one."""
        begun = time.monotonic()
        for failed in range(_MOST_UNDECODABLE):
            if _grabbed(capture):
                if failed:
                    self._pass_over(failed)
                return True
            if time.monotonic() - begun > _PATIENCE_SECONDS:
                break
        return False

    def _pass_over(self, frames: int) -> None:
        if not self.num_undecodable:
            self._damaged_at = self.seconds
        self.num_undecodable += frames

    def _say_undecodable(self) -> None:
        if self.num_undecodable:
            self.problem = (
                f"{self.name}: {counted(self.num_undecodable, 'frame')} cannot be decoded, the first after "
                f"{self._damaged_at:.1f} s, and {'was' if self.num_undecodable == 1 else 'were'} passed over"
            )

    def say_early(self, how: str) -> None:
        """The video ends before it should."""
        self.ends_early = True
        self.problem = f"{self.problem}; {how}" if self.problem else how

    def _time(self, capture: cv2.VideoCapture, rate: float) -> float:
        """The time of the current frame. Where the video gives none, or one that is not later than the one before, the
        frame follows the one before by 1 / rate."""
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        if not self.num_read:
            return seconds if 0 <= seconds < _MOST_SECONDS else 0.0
        return seconds if self.seconds < seconds < _MOST_SECONDS else self.seconds + 1 / rate


class VideoFrames(SampledFrames):
    """The sampled frames of the video file at `path`. A varying frame rate does not matter. Frames are turned as the
    file says (telephones). After the end, `problem` also says if the video ends early.

    Raises CorruptVideoError, which names the file, if it cannot be opened or has no frame that can be read, and
    ConfigError for a number of frames per second that is not positive.
    """

    def __init__(self, path: str | Path, frames_per_second: float) -> None:
        super().__init__(str(path), frames_per_second)
        self.path = Path(path)
        self.kind = _require_video(self.path)

    def __iter__(self) -> Iterator[VideoFrame]:
        with _opened(self.path, self.kind) as capture:
            rate, stated = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
            rate = usual_rate(rate)
            self.stated_frames = round(stated) if 0 < stated / rate < _MOST_SECONDS else 0
            yield from self._sampled(capture, rate)
        if not self.num_sampled:
            raise CorruptVideoError(f"{self.path}: the video ({self.kind}) has no frame that can be read")
        self._say_undecodable()
        stated_seconds = self.stated_frames / rate
        if self.seconds + 1 / rate < stated_seconds - max(_END_SECONDS, _END_SHARE * stated_seconds):
            self.say_early(
                f"{self.path}: the video can be read up to {self.seconds:.1f} s of {stated_seconds:.1f} s, so it is "
                "truncated or damaged; what could be read is used"
            )


def usual_rate(rate: float) -> float:
    """The frame rate that a video states, or 25 a second where it states none that can be."""
    return rate if _RATES[0] <= rate <= _RATES[1] else _USUAL_RATE


def check_size(capture: cv2.VideoCapture, name: str) -> None:
    """Raise CorruptVideoError for frames that are larger than any camera's."""
    width, height = (capture.get(what) for what in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if not 0 < width * height <= _MOST_PIXELS:
        raise CorruptVideoError(f"{name}: the video claims frames of {width:.0f} × {height:.0f} pixels")


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


def silence_ffmpeg() -> None:
    """FFmpeg prints what it meets in a damaged video, and reads this variable once, when the first video is opened."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@contextmanager
def _opened(path: Path, kind: str) -> Iterator[cv2.VideoCapture]:
    silence_ffmpeg()
    with _plain_name(path) as name, OPENCV_SILENT:
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise CorruptVideoError(
                f"{path}: OpenCV finds no video in it that it can decode ({kind}): it is damaged or truncated, has "
                "only sound, or its codec is missing; another program may convert it to MP4 with H.264"
            )
        check_size(capture, str(path))
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
