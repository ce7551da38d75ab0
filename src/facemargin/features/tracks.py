"""Links the faces in sampled frames of a video to tracks: a track is one person's face, from its appearance to its
disappearance. Shapes: T tracks, F faces of a frame, D embedding size.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import RGBImage
from facemargin.detection.face import Face
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.pooling import pool_by_quality
from facemargin.quality.image_statistics import Reason

# How far a face moves, in multiples of its longer side: at once (landmarks and boxes jitter), and in a second.
_REACH, _REACH_A_SECOND = 0.5, 5.0
# A face does not become so many times as large or small between two sampled frames.
_MOST_GROWTH = 2.0


@dataclass(frozen=True)
class Sighting:
    """A face in frame number `frame` of a video, `seconds` from its start: the `crop` (H, W, 3) that was embedded, its
    unit vector (D,), norm and quality, and the `reasons` against it if it was compared with the limits of a gate."""

    frame: int
    seconds: float
    face: Face
    crop: RGBImage = field(repr=False)
    vector_D: NDArray[np.float32] = field(repr=False)
    norm: float
    quality: float
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class FaceTrack:
    """One person's face from `first_second` to `last_second` of a video, seen in `frames` of the sampled frames.

    `faces` are the `used` sightings of highest quality, best first; `best` is the first of them, with the box, the time
    and the aligned face. `embedding` (1, D) pools them as `pool_by_quality` does: a unit vector, and the means of their
    norms and qualities, weighted by quality.

    Examples:
        >>> import cv2
        >>> import facemargin as fm
        >>> face = fm.open_images("orl").read(0)
        >>> video = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (92, 92))
        >>> for _ in range(10):
        ...     _ = video.write(face)
        >>> video.release()
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> (track,) = fm.embed_video(model, "clip.avi", best_faces=3).tracks
        >>> track.frames, track.used, track.best.crop.shape
        (5, 3, (112, 112, 3))
    """

    first_second: float
    last_second: float
    frames: int
    faces: tuple[Sighting, ...] = field(repr=False)
    embedding: Embeddings = field(repr=False)

    @property
    def best(self) -> Sighting:
        """The sighting of highest quality."""
        return self.faces[0]

    @property
    def used(self) -> int:
        """How many sightings were pooled."""
        return len(self.faces)


class FaceLinker:
    """Links sightings frame by frame, in order of time; `finish` returns the tracks.

    A face continues a track if it is near (its centre has moved by at most ½ + 5·t of the longer side of the face in t
    seconds, and its side by a factor of at most 2) and alike (the cosine with the track's last face or with the mean of
    all its faces is at least `min_cosine`). Of several, the pair with the largest sum of this cosine and of the overlap
    of the boxes (intersection over union) is linked first. A face that continues no track begins one. A track that has
    not been seen for more than `most_seconds` has ended: somebody who comes back begins another.

    Only the `best_faces` sightings of highest quality of a track are kept, of these only `crops` crops. Sightings with
    reasons against them are kept only of a track that has no others.
    """

    def __init__(self, best_faces: int, min_cosine: float, most_seconds: float, crops: int = 1) -> None:
        self._best_faces, self._min_cosine, self._most_seconds = best_faces, min_cosine, most_seconds
        self._crops = crops
        self._open: list[_OpenTrack] = []
        self._ended: list[tuple[int, FaceTrack]] = []
        self._begun = 0

    def add(self, sightings: Sequence[Sighting]) -> None:
        """The sightings of one frame."""
        if not sightings:
            return
        now = sightings[0].seconds
        self._end([track for track in self._open if now - track.last.seconds > self._most_seconds])
        links = self._links(sightings)
        for number, sighting in enumerate(sightings):
            if number in links:
                links[number].add(sighting)
            else:
                self._open.append(_OpenTrack(self._begun, sighting, self._best_faces, self._crops))
                self._begun += 1

    def finish(self) -> list[FaceTrack]:
        """All tracks, in order of their beginning; those that begin in one frame in the order of its sightings."""
        self._end(list(self._open))
        return [track for _, track in sorted(self._ended, key=lambda pair: pair[0])]

    def _end(self, tracks: list["_OpenTrack"]) -> None:
        self._ended += [(track.number, track.result()) for track in tracks]
        self._open = [track for track in self._open if track not in tracks]

    def _links(self, sightings: Sequence[Sighting]) -> dict[int, "_OpenTrack"]:
        """The track that each sighting continues, by the sighting's number."""
        pairs = []
        for place, track in enumerate(self._open):
            for number, sighting in enumerate(sightings):
                cosine = track.cosine(sighting)
                if cosine >= self._min_cosine and is_near(track.last, sighting):
                    pairs.append((-cosine - overlap(track.last.face, sighting.face), place, number))
        links: dict[int, _OpenTrack] = {}
        taken: set[int] = set()
        for _, place, number in sorted(pairs):
            if place not in taken and number not in links:
                links[number] = self._open[place]
                taken.add(place)
        return links


class _OpenTrack:
    def __init__(self, number: int, sighting: Sighting, best_faces: int, crops: int) -> None:
        self.number, self.first_second, self.frames = number, sighting.seconds, 0
        self._best_faces, self._crops = best_faces, crops
        self._best: list[Sighting] = []
        self._sum_D = np.zeros(len(sighting.vector_D))
        self.add(sighting)

    def add(self, sighting: Sighting) -> None:
        self.last = sighting
        self.frames += 1
        self._sum_D += sighting.vector_D
        # sorted() keeps the order of equal qualities, so the earliest is the best.
        self._best = sorted([*self._best, sighting], key=_order)[: self._best_faces]
        self._best[self._crops :] = [_without_crop(one) for one in self._best[self._crops :]]

    def cosine(self, sighting: Sighting) -> float:
        length = float(np.linalg.norm(self._sum_D))
        mean = float(self._sum_D @ sighting.vector_D) / length if length else -1.0
        return max(mean, float(self.last.vector_D @ sighting.vector_D))

    def result(self) -> FaceTrack:
        faces = [one for one in self._best if not one.reasons] or self._best
        all_faces = Embeddings(
            vectors=np.stack([one.vector_D for one in faces]),
            norms=np.array([one.norm for one in faces], np.float32),
            quality=np.array([one.quality for one in faces], np.float32),
        )
        pooled = pool_by_quality(all_faces, np.zeros(len(faces), np.int64))
        return FaceTrack(self.first_second, self.last.seconds, self.frames, tuple(faces), pooled)


def _order(sighting: Sighting) -> tuple[bool, float]:
    return bool(sighting.reasons), -sighting.quality


def is_near(last: Sighting, sighting: Sighting) -> bool:
    """Whether a face may have moved and grown from the one to the other; see `FaceLinker`."""
    (x, y), (other_x, other_y) = _centre(last.face), _centre(sighting.face)
    side, other_side = _side(last.face), _side(sighting.face)
    longer, shorter = max(side, other_side), min(side, other_side)
    reach = (_REACH + _REACH_A_SECOND * (sighting.seconds - last.seconds)) * longer
    return math.hypot(x - other_x, y - other_y) <= reach and longer <= _MOST_GROWTH * shorter


def overlap(face: Face, other: Face) -> float:
    """Intersection over union of two boxes."""
    left, top = max(face.box[0], other.box[0]), max(face.box[1], other.box[1])
    right, bottom = min(face.box[2], other.box[2]), min(face.box[3], other.box[3])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    union = face.area + other.area - shared
    return shared / union if union > 0 else 0.0


def _centre(face: Face) -> tuple[float, float]:
    left, top, right, bottom = face.box
    return (left + right) / 2, (top + bottom) / 2


def _side(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(right - left, bottom - top)


def _without_crop(sighting: Sighting) -> Sighting:
    if not sighting.crop.size:
        return sighting
    return replace(sighting, crop=np.empty((0, 0, 3), np.uint8))
