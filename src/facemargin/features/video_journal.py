"""A journal on disk of the faces that were found in videos, so that a long search can continue after an interruption.

There is one line per group of frames. Shapes: D embedding size.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facemargin.detection.face import Face
from facemargin.features.tracks import Sighting
from facemargin.files.line_journal import LineJournal
from facemargin.quality.image_statistics import Reason

_NO_CROP = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class SearchedFrame:
    """Frame number `index` of a video, at `seconds` from its start, and the faces in it, from left to right."""

    index: int
    seconds: float
    sightings: list[Sighting]


Group = list[SearchedFrame]
"""Frames whose faces were embedded together."""


class VideoJournal:
    """The journal in the file `path`, which is created if it does not exist, of vectors of `size` values. It has no
    picture; `remove` it when the work is done. A video whose file has changed is not found in it.

    Raises DataError if the file was written with other settings, if it is no such journal, or if another process is
    writing to it, and OutputError if it cannot be written.
    """

    def __init__(self, path: Path, size: int, settings: Mapping[str, Any]) -> None:
        self.path, self._size = path, size

        def key_of(content: Any) -> tuple[str, int]:
            _read(content, size)
            return str(content["video"]), int(content["group"])

        def differ(theirs: Any) -> str:
            others = theirs if isinstance(theirs, dict) else {}
            names = sorted(name for name in settings if others.get(name) != json.loads(json.dumps(settings[name])))
            return (
                f"is of an interrupted search with other settings ({', '.join(names)}): use those settings to go on, "
                "give another output, or delete the file to start again"
            )

        self._lines = LineJournal(path, settings, key_of, kind="videos", differ=differ)

    def __enter__(self) -> "VideoJournal":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def __len__(self) -> int:
        """The number of groups."""
        return len(self._lines)

    def get(self, video: str, number: int) -> Group | None:
        """Group `number` of the video at this path; None if it is not there."""
        content = self._lines.get((_key(video), number))
        return None if content is None else _read(content, self._size)

    def add(self, video: str, number: int, group: Group) -> None:
        """Add a group and pass it to the operating system, so that it is not lost if this process is killed. Raises
        OutputError if it cannot be written; earlier ones stay."""
        key = _key(video)
        self._lines.add((key, number), {"video": key, "group": number, "frames": [_written(frame) for frame in group]})

    def remove(self) -> None:
        """Close and delete the file."""
        self._lines.close()
        self.path.unlink(missing_ok=True)


def _key(video: str) -> str:
    """The file at this path as it is now."""
    path = Path(video).absolute()
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


def _written(frame: SearchedFrame) -> list[Any]:
    """Numbers as JSON writes them are read again bit for bit."""
    faces = [
        {
            "box": list(map(float, one.face.box)),
            "score": float(one.face.score),
            "landmarks": one.face.landmarks_52.astype(np.float64).tolist(),
            "vector": base64.b64encode(one.vector_D.astype("<f4").tobytes()).decode(),
            "norm": one.norm,
            "quality": one.quality,
            "reasons": [list(reason) for reason in one.reasons],
        }
        for one in frame.sightings
    ]
    return [frame.index, frame.seconds, faces]


def _read(content: Any, size: int) -> Group:
    """The inverse of `_written` for all frames of a line. Raises KeyError, TypeError or ValueError for others."""
    return [
        SearchedFrame(int(index), float(seconds), [_sighting(int(index), float(seconds), one, size) for one in faces])
        for index, seconds, faces in content["frames"]
    ]


def _sighting(index: int, seconds: float, content: Any, size: int) -> Sighting:
    left, top, right, bottom = map(float, content["box"])
    landmarks_52 = np.array(content["landmarks"], dtype=np.float64).reshape(5, 2)
    face = Face((left, top, right, bottom), float(content["score"]), landmarks_52)
    vector_D = np.frombuffer(base64.b64decode(content["vector"], validate=True), "<f4").astype(np.float32)
    norm, quality = float(content["norm"]), float(content["quality"])
    if len(vector_D) != size or not all(np.isfinite(one).all() for one in (vector_D, landmarks_52, norm, quality)):
        raise ValueError("a vector of another size, or numbers that are not finite")
    reasons = tuple(Reason(str(code), str(words)) for code, words in content["reasons"])
    return Sighting(index, seconds, face, _NO_CROP, vector_D, norm, quality, reasons)
