"""The frames of a camera or of a stream from the network, for a bounded time."""

import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2

from facemargin.data.images.silence import OPENCV_SILENT
from facemargin.data.videos.frames import SampledFrames, VideoFrame, check_size, silence_ffmpeg, usual_rate
from facemargin.errors import ConfigError, CorruptVideoError

_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https", "udp", "tcp", "srt")
# user:password@, which nobody wants in a table or a log
_LOGIN = re.compile(r"(?<=://)[^/@]*@")


@dataclass(frozen=True)
class Stream:
    """`seconds` of a camera of this machine (its number: "0") or of a stream (its address: rtsp://…, http://…).

    Raises ConfigError for another address and for seconds that are not positive.

    Examples:
        >>> import facemargin as fm
        >>> fm.Stream("rtsp://user:secret@10.0.0.7/door", seconds=60).name
        'rtsp://10.0.0.7/door'
    """

    address: str = field(repr=False)
    seconds: float

    def __post_init__(self) -> None:
        scheme = self.address.split("://")[0].lower() if "://" in self.address else ""
        if not (self.address.isdecimal() or scheme in _SCHEMES):
            raise ConfigError(
                f"the address of the stream is {self.name}, expected the number of a camera, such as 0, or an address "
                f"that begins with one of {', '.join(f'{one}://' for one in _SCHEMES)}"
            )
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ConfigError(f"a stream of {self.seconds} seconds, expected a positive number")

    @property
    def name(self) -> str:
        """What messages and tables call it: the address without a name and a password."""
        return f"camera {self.address}" if self.address.isdecimal() else _LOGIN.sub("", self.address)


class StreamFrames(SampledFrames):
    """The sampled frames of a stream. It ends after its seconds, by its own clock or by that of this machine; if it
    ends before, `problem` says so. Times are from the first frame on, by the stream's clock, or by that of this machine
    where it has none.

    Raises CorruptVideoError, which names the stream, if it cannot be opened or gives no frame.
    """

    def __init__(self, stream: Stream, frames_per_second: float) -> None:
        super().__init__(stream.name, frames_per_second)
        self._stream = stream
        self._begun = 0.0
        self._first: float | None = None

    def __iter__(self) -> Iterator[VideoFrame]:
        silence_ffmpeg()
        address = self._stream.address
        with OPENCV_SILENT:
            capture = (
                cv2.VideoCapture(int(address)) if address.isdecimal() else cv2.VideoCapture(address, cv2.CAP_FFMPEG)
            )
        try:
            if not capture.isOpened():
                raise CorruptVideoError(
                    f"{self.name}: OpenCV cannot open it: nothing answers there, it needs a name and a password "
                    "(rtsp://NAME:PASSWORD@…), or it is no video"
                )
            check_size(capture, self.name)
            self._begun = time.monotonic()
            yield from self._sampled(capture, usual_rate(capture.get(cv2.CAP_PROP_FPS)))
        finally:
            capture.release()
        if not self.num_sampled:
            raise CorruptVideoError(f"{self.name}: the stream has no frame that can be read")
        self._say_undecodable()
        if not self._is_over():
            self.say_early(f"{self.name}: the stream ended after {self.seconds:.1f} s of {self._stream.seconds:g} s")

    def _is_over(self) -> bool:
        return max(self.seconds, time.monotonic() - self._begun) >= self._stream.seconds

    def _time(self, capture: cv2.VideoCapture, rate: float) -> float:
        own, here = self._own_clock(capture), time.monotonic() - self._begun
        if self._first is None:
            self._first = own
            return 0.0
        own -= self._first
        return own if own > self.seconds and math.isfinite(own) else max(here, self.seconds)

    def _own_clock(self, capture: cv2.VideoCapture) -> float:
        return capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
