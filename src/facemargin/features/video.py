"""From a video to one embedding per track of a face. Shapes: T tracks, F faces, D embedding size."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facemargin.counting import counted
from facemargin.data.alignment import TEMPLATE_SIDE
from facemargin.data.crop import crop_face
from facemargin.data.source import ImageSource, RGBImage
from facemargin.data.videos.frames import VideoFrame, VideoFrames
from facemargin.detection.detector import DEFAULT_DETECTOR, Detector, require_detector
from facemargin.detection.face import Face
from facemargin.errors import ConfigError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.tracks import FaceLinker, FaceTrack, Sighting
from facemargin.models.model import Model, Progress
from facemargin.models.readable import embed_readable
from facemargin.models.views import Views

logger = logging.getLogger(__name__)

FRAMES_PER_SECOND, BEST_FACES, MIN_FRAMES, MIN_COSINE = 5.0, 10, 2, 0.3
"""The defaults of `embed_video`."""

_GAP_SECONDS = 2.0
# Faces wait for a batch in at most so many frames, so that the progress of a video with few faces is seen.
_FRAMES_AT_A_TIME = 32


@dataclass(frozen=True, repr=False)
class VideoFaces:
    """The faces in the video at `path`: `tracks` in order of their beginning, and `embeddings` (T, D) of them.

    `frames` were read, `sampled` of them were searched for faces, up to `seconds` from the start. `faces` were found.
    `dropped` tracks were seen in too few frames. `problem` says if the video ends earlier than it should, otherwise it
    is empty.

    Examples:
        >>> import cv2
        >>> import facemargin as fm
        >>> face = fm.open_images("orl").read(0)
        >>> video = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (92, 92))
        >>> for _ in range(10):
        ...     _ = video.write(face)
        >>> video.release()
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> found = fm.embed_video(model, "clip.avi")
        >>> found
        VideoFaces('clip.avi': 1 track of 5 faces, 0 dropped; 5 frames of 0.9 s)
    """

    path: Path
    tracks: list[FaceTrack]
    embeddings: Embeddings
    frames: int
    sampled: int
    seconds: float
    faces: int
    dropped: int
    problem: str

    def __repr__(self) -> str:
        found = f"{counted(len(self.tracks), 'track')} of {counted(self.faces, 'face')}, {self.dropped} dropped"
        return f"VideoFaces({str(self.path)!r}: {found}; {counted(self.sampled, 'frame')} of {self.seconds:.1f} s)"


def embed_video(
    model: Model,
    video: str | Path,
    frames_per_second: float = FRAMES_PER_SECOND,
    best_faces: int = BEST_FACES,
    detector: Detector | str = DEFAULT_DETECTOR,
    min_frames: int = MIN_FRAMES,
    min_cosine: float = MIN_COSINE,
    batch_size: int | None = None,
    views: Views | None = None,
    progress: Progress | None = None,
) -> VideoFaces:
    """One embedding for each face track of a video file: `frames_per_second` frames are searched for faces, these are
    linked to tracks (see `FaceTrack`), and the `best_faces` of highest quality of each track are pooled, weighted by
    quality.

    Faces of consecutive frames are linked if they are near each other and the cosine of their embeddings is at least
    `min_cosine`, so that a cut, or people who cross, are not joined; a track ends when its face was not seen for two
    seconds, or for 1.5 intervals between sampled frames if that is longer. Tracks seen in fewer than `min_frames` of
    the sampled frames are mostly no faces; they are left out and counted, unless the video has fewer sampled frames.
    The result depends on nothing but the arguments and the file; memory does not grow with the length of the video, but
    with the number of tracks.

    `progress(done, all)` is called with the number of frames of the video; `all` is 0 if it is unknown. Raises
    CorruptVideoError, which names the file, if no frame of it can be read, DataError if the model returns a value that
    is not finite, and ConfigError for arguments out of range. A video that ends early, because it is truncated, is used
    as far as it can be read; `problem` says so, and a warning is logged.

    Examples:
        >>> import cv2
        >>> import facemargin as fm
        >>> face = fm.open_images("orl").read(0)
        >>> video = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (92, 92))
        >>> for _ in range(10):
        ...     _ = video.write(face)
        >>> video.release()
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> found = fm.embed_video(model, "clip.avi", frames_per_second=10)
        >>> found.embeddings.vectors.shape, found.tracks[0].frames
        ((1, 64), 10)
    """
    _check(best_faces, min_frames, min_cosine)
    frames = VideoFrames(video, frames_per_second)
    finder = require_detector(detector)
    gap = max(_GAP_SECONDS, 1.5 / frames.frames_per_second)
    linker = FaceLinker(best_faces, min_cosine, gap)
    num_faces = 0
    for group in _groups(frames, finder, model.batch_size if batch_size is None else batch_size):
        num_faces += sum(len(faces) for _, faces in group)
        for sightings in _sightings(model, group, frames.path, batch_size, views):
            linker.add(sightings)
        if progress is not None:
            progress(frames.num_read, max(frames.num_read, frames.stated_frames) if frames.stated_frames else 0)
    if frames.problem:
        logger.warning(frames.problem)
    all_tracks = linker.finish()
    tracks = [track for track in all_tracks if track.frames >= min(min_frames, frames.num_sampled)]
    return VideoFaces(
        path=frames.path,
        tracks=tracks,
        embeddings=_joined([track.embedding for track in tracks], model.info.embedding_size),
        frames=frames.num_read,
        sampled=frames.num_sampled,
        seconds=frames.seconds,
        faces=num_faces,
        dropped=len(all_tracks) - len(tracks),
        problem=frames.problem,
    )


def _check(best_faces: int, min_frames: int, min_cosine: float) -> None:
    for name, value in (("best_faces", best_faces), ("min_frames", min_frames)):
        if value < 1:
            raise ConfigError(f"{name} is {value}, expected at least 1")
    if not -1 <= min_cosine <= 1:
        raise ConfigError(f"min_cosine is {min_cosine}, expected a number from -1 to 1")


_Found = tuple[VideoFrame, list[tuple[Face, RGBImage]]]


def _groups(frames: VideoFrames, detector: Detector, batch_size: int) -> Iterator[list[_Found]]:
    """The sampled frames (without their pixels) with their faces, from left to right, and the aligned crops, in groups
    of about a batch of faces."""
    group: list[_Found] = []
    num_faces = 0
    for frame in frames:
        faces = sorted(detector.detect(frame.image), key=lambda face: face.box)
        crops = [(face, crop_face(frame.image, face.landmarks_52, TEMPLATE_SIDE)) for face in faces]
        group.append((VideoFrame(frame.index, frame.seconds, np.empty((0, 0, 3), np.uint8)), crops))
        num_faces += len(faces)
        if num_faces >= batch_size or len(group) >= _FRAMES_AT_A_TIME:
            yield group
            group, num_faces = [], 0
    yield group


def _sightings(
    model: Model, group: list[_Found], path: Path, batch_size: int | None, views: Views | None
) -> Iterator[list[Sighting]]:
    crops = _Crops(path, [(frame, crop) for frame, faces in group for _, crop in faces])
    if not len(crops):
        return
    embeddings = embed_readable(model, crops, batch_size, views).embeddings
    rows = iter(zip(embeddings.vectors, embeddings.norms.tolist(), embeddings.quality.tolist(), strict=True))
    for frame, faces in group:
        yield [Sighting(frame.index, frame.seconds, face, crop, *next(rows)) for face, crop in faces]


class _Crops(ImageSource):
    """Aligned faces, named by their frames."""

    threadsafe = True

    def __init__(self, path: Path, crops: list[tuple[VideoFrame, RGBImage]]) -> None:
        self.name, self._crops = str(path), crops

    def __len__(self) -> int:
        return len(self._crops)

    def read(self, index: int) -> RGBImage:
        return self._crops[index][1]

    def describe(self, index: int) -> str:
        return f"{self.name}: a face at {self._crops[index][0].seconds:.2f} s"


def _joined(parts: list[Embeddings], size: int) -> Embeddings:
    if not parts:
        return Embeddings(np.empty((0, size), np.float32), np.empty(0, np.float32), np.empty(0, np.float32))
    return Embeddings(
        vectors=np.concatenate([part.vectors for part in parts]),
        norms=np.concatenate([part.norms for part in parts]),
        quality=np.concatenate([part.quality for part in parts]),
    )
