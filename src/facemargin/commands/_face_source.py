"""The faces for a model: aligned images, or faces found in photographs. Warns about images that are probably not what
the user expects."""

import os
import threading
from typing import Any, Literal, get_args

from facemargin.commands._say import say
from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detect import DetectedFaces, Watch
from facemargin.detection.detector import DEFAULT_DETECTOR, DetectorName
from facemargin.errors import ConfigError

OnSeveral = Literal["largest", "central", "error"]
"""Which face of a photograph with several faces is used. "error" refuses such a photograph."""

_NAMED = 5


class FaceSource(ImageSource):
    """The images of `source`, or with `detect` the face in each of them. While reading, it counts images that are not
    square and photographs with several faces, and calls `watch` with each image. Raises ConfigError if `on_several` or
    `detector` is given without `detect`."""

    def __init__(
        self,
        source: ImageSource,
        detect: bool,
        on_several: OnSeveral = "largest",
        detector: DetectorName = DEFAULT_DETECTOR,
        watch: Watch | None = None,
    ) -> None:
        check_detection(detect, on_several, detector)
        self.name = source.name
        self._detected = DetectedFaces(source, detector, on_several, watch) if detect else None
        self._source = source if self._detected is None else self._detected
        self.detector = None if self._detected is None else self._detected.detector
        self._on_several = on_several
        self._watch = watch if self._detected is None else None
        self.threadsafe, self.squashing_told = self._source.threadsafe, True
        self._lock = threading.Lock()
        self._num_read = 0
        self._sizes: dict[int, tuple[int, int]] = {}
        self._told_several: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        image = self._source.read(index)
        if self._watch is not None:
            self._watch(index, image, None)
        with self._lock:
            self._num_read += 1
        height, width = image.shape[:2]
        if height != width:
            self._sizes[index] = width, height
        return image

    def describe(self, index: int) -> str:
        return self._source.describe(index)

    def warn(self) -> None:
        """Print warnings about the images read so far to stderr: how many were not square, and how many show several
        faces, with the names of the first."""
        total = self._num_read
        if self._sizes:
            in_order = sorted(self._sizes.items())
            named = [f"{self._shown(index)}: {width} × {height}" for index, (width, height) in in_order]
            squashed = f"{_of(len(self._sizes), total)} {'was' if len(self._sizes) == 1 else 'were'} squashed"
            _warn(
                f"{squashed} to a square",
                named,
                "Aligned faces are square: --detect finds and aligns the face first",
            )
        named = [f"{self._shown(index)}: {count}" for index, count in sorted(self._several().items())]
        warn_of_several(named, total, self._on_several, get_args(OnSeveral))

    def take_notes(self) -> dict[str, Any]:
        """What `warn` would tell of the images read so far, as JSON can store it, and forget it: another process, which
        has the same images, tells it after `add_notes`."""
        notes = {"read": self._num_read, "sizes": self._sizes, "several": self._several()}
        self._num_read, self._sizes, self._told_several = 0, {}, {}
        if self._detected is not None:
            self._detected.forget()
        return notes

    def add_notes(self, notes: dict[str, Any]) -> None:
        self._num_read += notes["read"]
        self._sizes |= {int(index): (width, height) for index, (width, height) in notes["sizes"].items()}
        self._told_several |= {int(index): found for index, found in notes["several"].items()}

    def _several(self) -> dict[int, str]:
        found = {} if self._detected is None or self._on_several == "error" else self._detected.several
        return self._told_several | {index: str(face) for index, face in found.items()}

    def _shown(self, index: int) -> str:
        return os.fsencode(self.describe(index)).decode(errors="replace")


def warn_of_several(named: list[str], total: int, choice: str, choices: tuple[str, ...]) -> None:
    """Print how many of `total` photographs show several faces (those that are `named`), and which face was used."""
    if named:
        shows = "shows" if len(named) == 1 else "show"
        taken = "most central" if choice == "central" else choice
        _warn(
            f"{_of(len(named), total)} {shows} several faces, of which the {taken} was used",
            named,
            f"--on-several {'|'.join(choices)} chooses what to do",
        )


def check_detection(detect: bool, on_several: OnSeveral, detector: DetectorName) -> None:
    """Raise ConfigError if --on-several or --detector is given without --detect, because it would have no effect."""
    if on_several != "largest" and not detect:
        raise ConfigError(f"--on-several {on_several} needs --detect: add --detect, or remove --on-several")
    if detector != DEFAULT_DETECTOR and not detect:
        raise ConfigError(f"--detector {detector} needs --detect: add --detect, or remove --detector")


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,} {'image' if total == 1 else 'images'}"


def _warn(what: str, named: list[str], advice: str) -> None:
    more = ", …" if len(named) > _NAMED else ""
    say(f"warning: {what} ({', '.join(named[:_NAMED])}{more}). {advice}", stderr=True)
