"""The demo's check of a quality: on the same kinds of pictures for every recogniser, some of which the report shows.

Shapes: N faces, P pictures.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from facemargin.commands._scoring import face_gallery
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.decision.checked_model import CHECK_FILE, CheckedModel
from facemargin.evaluation import Embed, Embeddings
from facemargin.evaluation.check_pictures import CheckPictures
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.folder import CHECKED_FACES_FILE, NOT_FACES_FILE, evaluation_folder
from facemargin.evaluation.metrics.pairs import IntArray
from facemargin.evaluation.quality_check import check_quality
from facemargin.files.atomic import write_atomically
from facemargin.models.model import Model
from facemargin.quality.not_faces import NOT_FACES

# Few pictures, because a released recogniser takes 60 ms for one on one core.
STRENGTHS = (0.0, 0.5, 1.0)
NOT_FACES_EACH = 10

# The pictures without a face that the report shows, of each kind.
_SHOWN_EACH = 2


@dataclass
class CheckedPictures:
    """The pictures of a check, as an `Embed` that remembers them and their embeddings."""

    embed: Embed
    pictures: CheckPictures = field(init=False)
    embeddings: Embeddings = field(init=False)

    def __call__(self, images: ImageSource) -> Embeddings:
        assert isinstance(images, CheckPictures)
        self.pictures, self.embeddings = images, self.embed(images)
        return self.embeddings

    def faces(self) -> IntArray:
        """The numbers of the faces: the N as they are, then the same N, each degraded by a kind and strength of its
        own."""
        return np.arange(self.pictures.clean.start, self.pictures.mixed.stop)

    def not_faces(self) -> IntArray:
        """The numbers of those without a face that are shown."""
        starts = [self.pictures.of_kind(number).start for number in range(len(NOT_FACES))]
        return np.add.outer(starts, np.arange(_SHOWN_EACH)).ravel()


def check_shown(model: Model, faces: LabeledImages, folder: Path, credit: str) -> tuple[QualityCheck, CheckedPictures]:
    """Check the quality of a model, and keep the result in `folder`, and the faces of lowest and highest quality and
    some pictures without a face in its evaluation of the set `faces`."""
    checked = CheckedPictures(model.embed)
    measure, stepped = model.info.quality, faces.num_identities
    check = check_quality(checked, faces, measure, stepped=stepped, strengths=STRENGTHS, not_faces=NOT_FACES_EACH)
    CheckedModel.of(model, {measure: check}).save(folder / CHECK_FILE)
    place = evaluation_folder(folder, faces.name)
    quality_P = np.asarray(checked.embeddings.quality, dtype=np.float64)
    for name, shown in ((CHECKED_FACES_FILE, checked.faces()), (NOT_FACES_FILE, checked.not_faces())):
        gallery = face_gallery(checked.pictures, shown, quality_P[shown], credit)
        write_atomically(place / name, gallery.save)
    return check, checked
