"""Reads images for a gallery, finds the face where it is to, and notes what speaks against each."""

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from facemargin.data.source import ImageSource, RGBImage
from facemargin.detection.detect import DetectedFaces
from facemargin.detection.detector import Detector
from facemargin.detection.face import Choice, Face, FoundFace
from facemargin.errors import CorruptImageError, NoFaceError, SeveralFacesError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.models.model import Model
from facemargin.models.read_ahead import batches_of
from facemargin.models.readable import readable_results
from facemargin.models.views import Views
from facemargin.quality.gate import QualityGate
from facemargin.quality.image_statistics import Reason, image_statistics


@dataclass(frozen=True)
class Looked:
    """What was seen of image `index`: its `embedding`, or None with the `problem`; the `reasons` against it; with a
    detector, the face that was used; the digest of the image as it was given."""

    index: int
    embedding: Embeddings | None
    reasons: tuple[Reason, ...] = ()
    problem: Reason | None = None
    found: FoundFace | None = None
    digest: int = 0


class LookedAt(ImageSource):
    """The aligned faces of `source`, found by the `detector` or (None) as they are. The statistics of each face are
    compared with the `gate` while it is read; None: they are not measured."""

    def __init__(self, source: ImageSource, detector: Detector | None, faces: Choice, gate: QualityGate | None) -> None:
        self.name, self._gate = source.name, gate
        self.squashing_told = source.squashing_told
        self._detected = None if detector is None else DetectedFaces(source, detector, faces, self._measure)
        self._source = source if self._detected is None else self._detected
        self.threadsafe = self._source.threadsafe
        self._lock = threading.Lock()
        self._seen: dict[int, tuple[tuple[Reason, ...], int]] = {}
        self._problems: dict[int, Reason] = {}

    def __len__(self) -> int:
        return len(self._source)

    def read(self, index: int) -> RGBImage:
        try:
            image = self._source.read(index)
        except (NoFaceError, SeveralFacesError, CorruptImageError) as error:
            code = {NoFaceError: "no_face", SeveralFacesError: "several_faces"}.get(type(error), "unreadable")
            with self._lock:
                self._problems[index] = Reason(code, str(error))
            raise
        if self._detected is None:
            self._measure(index, image, None)
        return image

    def describe(self, index: int) -> str:
        return self._source.describe(index)

    def look(self, model: Model, views: Views | None, batch_size: int | None = None) -> Iterator[Looked]:
        """Every image, in order. Raises DataError if the model returns a value that is not finite."""
        batches = batches_of(len(self), model.batch_size if batch_size is None else batch_size)
        for results in readable_results(model, self, batches, views):
            places = {index: place for place, index in enumerate(results.indices)}
            for index in results.batch:
                if index in places and results.embeddings.norms[places[index]] == 0:
                    with self._lock:
                        self._seen.pop(index)
                    words = f"{self.describe(index)}: the model sees nothing in it: its vector has no direction"
                    yield Looked(index, None, problem=Reason("no_direction", words))
                elif index in places:
                    embedding = _row(results.embeddings, places[index])
                    with self._lock:
                        reasons, digest = self._seen.pop(index)
                    yield Looked(index, embedding, reasons, None, self._found(index), digest)
                else:
                    problem = self._problems.pop(index, None) or Reason("unreadable", results.messages[index])
                    yield Looked(index, None, problem=problem)

    def _measure(self, index: int, image: RGBImage, face: Face | None) -> None:
        reasons: tuple[Reason, ...] = ()
        if self._gate is not None:
            given = () if face is None else (face.landmarks_52, face.score)
            reasons = image_statistics(image, *given).reasons(self._gate)
        digest = pixel_digest(image)
        with self._lock:
            self._seen[index] = reasons, digest

    def _found(self, index: int) -> FoundFace | None:
        return None if self._detected is None else self._detected.found(index)


def pixel_digest(image: RGBImage) -> int:
    """Of an image's pixels, the same from a file of any kind and from memory; of 64 bits."""
    content = np.ascontiguousarray(image).tobytes()
    digest = hashlib.blake2b(content, digest_size=8, key=str(image.shape).encode()).digest()
    return int.from_bytes(digest, "little", signed=True)


def _row(embeddings: Embeddings, place: int) -> Embeddings:
    part = slice(place, place + 1)
    return Embeddings(embeddings.vectors[part], embeddings.norms[part], embeddings.quality[part])
