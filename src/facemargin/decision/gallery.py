"""Certifies people who are compared with a fixed gallery. Shapes: S probe images, T gallery images."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.digest import UNREADABLE, data_digest, image_digest
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.decision.certificate import CertifiedGallery
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embed
from facemargin.evaluation.metrics.certified_thresholds import CertifiedThresholds
from facemargin.evaluation.metrics.certify import certify_gallery


def with_gallery(
    embed: Embed,
    probes: ImageSource | object,
    gallery: LabeledImages,
    fmr: float,
    confidence: float,
    fnmr: float | None,
    bands: int | Sequence[float],
) -> tuple[CertifiedThresholds, int, str, CertifiedGallery]:
    """What the probes certify, how many people are among them, their digest, and what the gallery is."""
    for what, given in (("faces", probes), ("gallery", gallery)):
        if not isinstance(given, LabeledImages):
            raise ConfigError(
                f"the {what} of a certificate for a gallery are a {type(given).__name__}, expected images with "
                "identities, such as a folder with one folder per person"
            )
        if not given.has_names:
            raise DataError(
                f"{given.name} numbers its people instead of naming them, so nobody can tell who of the probes is "
                "enrolled: use sets with names, such as folders with one folder per person"
            )
        if not len(given):
            raise DataError(f"{given.name} has no images; expected at least one")
    assert isinstance(probes, LabeledImages)
    names_S, names_T = _names(probes), _names(gallery)
    enrolled_S = np.isin(names_S, names_T)
    _require_other_pictures(probes, names_S, enrolled_S, gallery, names_T)
    found = certify_gallery(embed(probes), names_S, embed(gallery), names_T, fmr, confidence, fnmr, bands)
    about = CertifiedGallery(
        name=gallery.name,
        people=len(np.unique(names_T)),
        images=len(gallery),
        digest=data_digest(gallery, gallery.labels),
        probe_people=len(np.unique(names_S[enrolled_S])),
    )
    who_S = np.where(enrolled_S, np.searchsorted(np.unique(names_T), names_S), -1)
    return found, len(np.unique(names_S)), data_digest(probes, probes.labels, who_S), about


def _names(images: LabeledImages) -> NDArray[np.str_]:
    return np.array(images.identity_names, dtype=np.str_)[images.labels]


def _require_other_pictures(
    probes: LabeledImages,
    names_S: NDArray[np.str_],
    enrolled_S: NDArray[np.bool_],
    gallery: LabeledImages,
    names_T: NDArray[np.str_],
) -> None:
    """A picture compared with itself says nothing about how often an enrolled person is missed."""
    in_gallery = {
        (names_T[index], image_digest(gallery, index)) for index in np.flatnonzero(np.isin(names_T, names_S)).tolist()
    }
    in_gallery -= {(name, UNREADABLE) for name, _ in in_gallery}  # embedding them says what is wrong with them
    twice = [
        index
        for index in np.flatnonzero(enrolled_S).tolist()
        if (names_S[index], image_digest(probes, index)) in in_gallery
    ]
    if twice:
        raise DataError(
            f"{counted(len(twice), 'picture')} of the probes {'is' if len(twice) == 1 else 'are'} in the gallery, too; "
            f"the first is {probes.describe(twice[0])}: compared with itself, a picture always matches, which hides "
            "how often enrolled people are missed. Keep other pictures of them among the probes"
        )
