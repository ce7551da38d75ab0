"""Who is in a video: every track of a face is looked for as one probe."""

from dataclasses import dataclass

import numpy as np

from facemargin.counting import counted
from facemargin.evaluation.embeddings import Embeddings
from facemargin.features.tracks import FaceTrack, Sighting
from facemargin.features.video import VideoFaces
from facemargin.gallery.identification import Identification
from facemargin.gallery.identifying import answers
from facemargin.gallery.looking import Looked
from facemargin.gallery.rule import SearchRule
from facemargin.gallery.store import Store

_PROBES_AT_A_TIME = 256


@dataclass(frozen=True, repr=False)
class IdentifiedVideo:
    """The `answers` for the tracks of `found`, in their order.

    Examples:
        >>> import cv2, tempfile
        >>> import facemargin as fm
        >>> face = fm.open_images("orl").read(0)
        >>> video = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (92, 92))
        >>> for _ in range(10):
        ...     _ = video.write(face)
        >>> video.release()
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> gallery = fm.Gallery.create(tempfile.mkdtemp() + "/gallery", model, detector="yunet")
        >>> done = gallery.enrol(fm.open_images("orl:1-2"), gate="off")
        >>> who = gallery.identify_video("clip.avi")
        >>> [(track.frames, answer.candidates[0].person) for track, answer in zip(who.found.tracks, who.answers)]
        [(5, 's1')]
    """

    found: VideoFaces
    answers: list[Identification]

    def __repr__(self) -> str:
        return f"IdentifiedVideo({str(self.found.path)!r}: {counted(len(self.answers), 'answer')})"


def identify_tracks(store: Store, rule: SearchRule | None, found: VideoFaces, candidates: int) -> list[Identification]:
    """An answer for every track. Its probe are its best faces, as images of one person are: those of too low a quality
    are left out, if there are others, and the rest is pooled."""
    decided: list[Identification] = []
    for start in range(0, len(found.tracks), _PROBES_AT_A_TIME):
        tracks = found.tracks[start : start + _PROBES_AT_A_TIME]
        faces = [face for track in tracks for face in _probe(track)]
        numbers = iter(range(len(faces)))
        groups = [[_looked(next(numbers), face) for face in _probe(track)] for track in tracks]
        names = [f"{found.path} at {face.seconds:.2f} s" for face in faces]
        decided += answers(store, rule, names.__getitem__, groups, candidates)
    return decided


def _probe(track: FaceTrack) -> tuple[Sighting, ...]:
    """Where all faces have reasons against them, those of the best say enough."""
    return track.faces[:1] if track.best.reasons else track.faces


def _looked(number: int, face: Sighting) -> Looked:
    norm, quality = (np.array([value], np.float32) for value in (face.norm, face.quality))
    return Looked(number, Embeddings(face.vector_D[None], norm, quality), face.reasons)
