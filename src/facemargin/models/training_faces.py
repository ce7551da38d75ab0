"""Says whether a model is measured on faces that it was trained on: figures, thresholds and promises from them do not
hold for anybody else."""

import logging

import yaml

from facemargin.data.open import open_images
from facemargin.data.overlap import identity_overlap
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import LabeledImages
from facemargin.errors import FacemarginError
from facemargin.models.info import ModelInfo

MOST_IMAGES_COMPARED = 20_000
"""In larger sets only the names of the people are compared, because every image of both would be read."""

logger = logging.getLogger(__name__)


def warn_of_training_faces(
    info: ModelInfo, faces: LabeledImages | VerificationSet, so: str, compare_images: bool = True
) -> None:
    """Log a warning if people or pictures of `faces` are in the training set of the model. `so`: what follows from it.

    The training set is that of the recipe in the model's file. Where it is not there any more, or another project
    trained the model, nothing can be said. `compare_images`: False for faces that have yet to be found in photographs.
    """
    train = _training_images(info)
    if train is None:
        return
    if train.name == faces.name:
        logger.warning(f"the model was trained on {faces.name}, so {so}")
        return
    images = faces.images if isinstance(faces, VerificationSet) else faces
    few = len(train) + len(images) <= MOST_IMAGES_COMPARED
    overlap = identity_overlap(train, faces, compare_images=compare_images and few)
    if overlap.any_shared:
        logger.warning(f"people or pictures of {faces.name} are in the model's training set, so {so}. {overlap}")


def not_of_others(measured: str) -> str:
    """What follows for figures, thresholds and the like."""
    return f"the {measured} do not hold for people whom it has not seen: measure on others"


def _training_images(info: ModelInfo) -> LabeledImages | None:
    try:
        place = yaml.safe_load(info.recipe)["data"]["train"]
        return open_images(place) if place else None
    except (FacemarginError, OSError, yaml.YAMLError, KeyError, TypeError):
        return None
