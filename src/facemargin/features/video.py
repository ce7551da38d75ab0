"""From a video to one embedding per track of a face. Shapes: T tracks, F faces, D embedding size."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np

from facemargin.counting import counted
from facemargin.data.alignment import TEMPLATE_SIDE
from facemargin.data.crop import crop_face
from facemargin.data.source import ImageSource, RGBImage
from facemargin.data.videos.frames import SampledFrames, VideoFrame, VideoFrames
from facemargin.data.videos.stream import Stream, StreamFrames
from facemargin.detection.detector import DEFAULT_DETECTOR, Detector, require_detector
from facemargin.detection.face import Face
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.tracks import FaceLinker, FaceTrack, Sighting
from facemargin.features.video_journal import Group, SearchedFrame, VideoJournal
from facemargin.models.model import Model, Progress
from facemargin.models.readable import embed_readable
from facemargin.models.views import Views
from facemargin.quality.gate import QualityGate
from facemargin.quality.image_statistics import Reason, image_statistics

logger = logging.getLogger(__name__)

FRAMES_PER_SECOND, BEST_FACES, MIN_FRAMES, MIN_COSINE = 5.0, 10, 2, 0.3
"""The defaults of `embed_video`."""

_GAP_SECONDS = 2.0
# Faces wait for a batch in at most so many frames, so that the progress of a video with few faces is seen.
_FRAMES_AT_A_TIME = 32


@dataclass(frozen=True, repr=False)
class VideoFaces:
    """The faces in the video at `path`, or of the stream of this name: `tracks` in order of their beginning, and
    `embeddings` (T, D) of them.

    `frames` were read, `sampled` of them were searched for faces, up to `seconds` from the start. `faces` were found.
    `dropped` tracks were seen in too few frames. `undecodable` frames are damaged and were passed over. `problem` says
    so, and if the video `ends_early`, before it should; otherwise it is empty.

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

    path: Path | str
    tracks: list[FaceTrack]
    embeddings: Embeddings
    frames: int
    sampled: int
    seconds: float
    faces: int
    dropped: int
    problem: str
    undecodable: int = 0
    ends_early: bool = False

    def __repr__(self) -> str:
        found = f"{counted(len(self.tracks), 'track')} of {counted(self.faces, 'face')}, {self.dropped} dropped"
        return f"VideoFaces({str(self.path)!r}: {found}; {counted(self.sampled, 'frame')} of {self.seconds:.1f} s)"


def embed_video(
    model: Model,
    video: str | Path | Stream,
    frames_per_second: float = FRAMES_PER_SECOND,
    best_faces: int = BEST_FACES,
    detector: Detector | str = DEFAULT_DETECTOR,
    min_frames: int = MIN_FRAMES,
    min_cosine: float = MIN_COSINE,
    batch_size: int | None = None,
    views: Views | None = None,
    progress: Progress | None = None,
    *,
    gate: QualityGate | None = None,
    crops: int = 1,
    journal: VideoJournal | None = None,
) -> VideoFaces:
    """One embedding for each face track of a video file or a stream: `frames_per_second` frames are searched for
    faces, these are linked to tracks (see `FaceTrack`), and the `best_faces` of highest quality of each track are
    pooled, weighted by quality.

    Faces of consecutive frames are linked if they are near each other and the cosine of their embeddings is at least
    `min_cosine`, so that a cut, or people who cross, are not joined; a track ends when its face was not seen for two
    seconds, or for 1.5 intervals between sampled frames if that is longer. Tracks seen in fewer than `min_frames` of
    the sampled frames are mostly no faces; they are left out and counted, unless the video has fewer sampled frames.
    The result depends on nothing but the arguments and the file; memory does not grow with the length of the video, but
    with the number of tracks.

    `gate`: faces that fail its limits are used only in tracks that have no others. `crops`: how many of the best faces
    of a track keep their pictures. `journal`: keeps what was found in a file, so that the same call goes on after an
    interruption, with the same result. Of a stream an interruption (KeyboardInterrupt) is the end: the tracks so far
    are returned.

    `progress(done, all)` is called with the number of frames of the video; `all` is 0 if it is unknown. Raises
    CorruptVideoError, which names the file, if no frame of it can be read, DataError if the model returns a value that
    is not finite, and ConfigError for arguments out of range. A video that ends early, because it is truncated, is used
    as far as it can be read, and without frames that cannot be decoded; `problem` says so, and a warning is logged.

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
    stream = video if isinstance(video, Stream) else None
    frames: SampledFrames = (
        StreamFrames(video, frames_per_second) if isinstance(video, Stream) else VideoFrames(video, frames_per_second)
    )
    search = _Search(
        model=model,
        detector=require_detector(detector),
        frames=frames,
        batch_size=batch_size,
        views=views,
        gate=gate,
        journal=None if stream is not None else journal,
    )
    gap = max(_GAP_SECONDS, 1.5 / frames.frames_per_second)
    linker = FaceLinker(best_faces, min_cosine, gap, crops)
    num_faces = 0
    try:
        for group in search.groups():
            num_faces += sum(map(len, group))
            for sightings in group:
                linker.add(sightings)
            if progress is not None:
                progress(frames.num_read, max(frames.num_read, frames.stated_frames) if frames.stated_frames else 0)
    except KeyboardInterrupt:
        if stream is None or not frames.num_sampled:
            raise
        frames.say_early(f"{stream.name}: interrupted after {frames.seconds:.1f} s of {stream.seconds:g} s")
    if frames.problem:
        logger.warning(frames.problem)
    all_tracks = linker.finish()
    tracks = [track for track in all_tracks if track.frames >= min(min_frames, frames.num_sampled)]
    return VideoFaces(
        path=frames.path if isinstance(frames, VideoFrames) else frames.name,
        tracks=tracks,
        embeddings=_joined([track.embedding for track in tracks], model.info.embedding_size),
        frames=frames.num_read,
        sampled=frames.num_sampled,
        seconds=frames.seconds,
        faces=num_faces,
        dropped=len(all_tracks) - len(tracks),
        problem=frames.problem,
        undecodable=frames.num_undecodable,
        ends_early=frames.ends_early,
    )


def _check(best_faces: int, min_frames: int, min_cosine: float) -> None:
    for name, value in (("best_faces", best_faces), ("min_frames", min_frames)):
        if value < 1:
            raise ConfigError(f"{name} is {value}, expected at least 1")
    if not -1 <= min_cosine <= 1:
        raise ConfigError(f"min_cosine is {min_cosine}, expected a number from -1 to 1")


@dataclass
class _Search:
    """Looks for faces in frames and embeds them, in groups of about a batch of faces; or takes a group from the
    journal, of which nothing but the crops is computed again."""

    model: Model
    detector: Detector
    frames: SampledFrames
    batch_size: int | None
    views: Views | None
    gate: QualityGate | None
    journal: VideoJournal | None
    _sampled: Iterator[VideoFrame] = field(init=False)

    def groups(self) -> Iterator[list[list[Sighting]]]:
        """For each group the sightings of each of its frames, from left to right."""
        self._sampled = iter(self.frames)
        for number in count():
            noted = None if self.journal is None else self.journal.get(self.frames.name, number)
            if noted is not None:
                yield self._again(noted)
                continue
            group = self._searched()
            if not group:
                yield []  # the rest of the video has been read
                return
            if self.journal is not None:
                self.journal.add(self.frames.name, number, group)
            yield [one.sightings for one in group]

    def _searched(self) -> Group:
        found: list[tuple[VideoFrame, list[Face]]] = []
        crops: list[RGBImage] = []
        reasons: list[tuple[Reason, ...]] = []
        enough = self.model.batch_size if self.batch_size is None else self.batch_size
        for frame in self._sampled:
            faces = sorted(self.detector.detect(frame.image), key=lambda face: face.box)
            crops += [crop_face(frame.image, face.landmarks_52, TEMPLATE_SIDE) for face in faces]
            reasons += [self._reasons(frame.image, face) for face in faces]
            found.append((replace(frame, image=np.empty((0, 0, 3), np.uint8)), faces))
            if len(crops) >= enough or len(found) >= _FRAMES_AT_A_TIME:
                break
        sightings = iter(self._sightings(found, crops, reasons))
        return [SearchedFrame(frame.index, frame.seconds, [next(sightings) for _ in faces]) for frame, faces in found]

    def _sightings(
        self,
        found: list[tuple[VideoFrame, list[Face]]],
        crops: list[RGBImage],
        reasons: list[tuple[Reason, ...]],
    ) -> Iterator[Sighting]:
        if not crops:
            return
        faces = [(frame, face) for frame, in_frame in found for face in in_frame]
        source = _Crops(self.frames.name, [frame for frame, _ in faces], crops)
        embeddings = embed_readable(self.model, source, self.batch_size, self.views).embeddings
        rows = zip(embeddings.vectors, embeddings.norms.tolist(), embeddings.quality.tolist(), strict=True)
        for (frame, face), crop, row, why in zip(faces, crops, rows, reasons, strict=True):
            yield Sighting(frame.index, frame.seconds, face, crop, *row, reasons=why)

    def _reasons(self, image: RGBImage, face: Face) -> tuple[Reason, ...]:
        if self.gate is None:
            return ()
        return image_statistics(image, face.landmarks_52, face.score).reasons(self.gate)

    def _again(self, noted: Group) -> list[list[Sighting]]:
        group = []
        for one in noted:
            frame = next(self._sampled, None)
            if frame is None or (frame.index, frame.seconds) != (one.index, one.seconds):
                assert self.journal is not None
                raise DataError(
                    f"{self.journal.path}: {self.frames.name} has other frames now than when this was written: delete "
                    "the file to start again"
                )
            group.append(
                [
                    replace(sighting, crop=crop_face(frame.image, sighting.face.landmarks_52, TEMPLATE_SIDE))
                    for sighting in one.sightings
                ]
            )
        return group


class _Crops(ImageSource):
    """Aligned faces, named by their frames."""

    threadsafe = True

    def __init__(self, name: str, frames: list[VideoFrame], crops: list[RGBImage]) -> None:
        self.name, self._frames, self._crops = name, frames, crops

    def __len__(self) -> int:
        return len(self._crops)

    def read(self, index: int) -> RGBImage:
        return self._crops[index]

    def describe(self, index: int) -> str:
        return f"{self.name}: a face at {self._frames[index].seconds:.2f} s"


def _joined(parts: list[Embeddings], size: int) -> Embeddings:
    if not parts:
        return Embeddings(np.empty((0, size), np.float32), np.empty(0, np.float32), np.empty(0, np.float32))
    return Embeddings(
        vectors=np.concatenate([part.vectors for part in parts]),
        norms=np.concatenate([part.norms for part in parts]),
        quality=np.concatenate([part.quality for part in parts]),
    )
