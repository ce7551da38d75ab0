"""Makes certificates. Shapes: N images, K pairs."""

from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np

from facemargin.counting import counted
from facemargin.data.digest import data_digest
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource, LabeledImages
from facemargin.decision.certificate import Certificate, CertifiedFaces
from facemargin.decision.fingerprint import fingerprint
from facemargin.decision.gallery import with_gallery
from facemargin.detection.detector import Detector, Setting, identify_detector
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embed, Embeddings
from facemargin.evaluation.metrics.certified_thresholds import CertifiedThresholds
from facemargin.evaluation.metrics.certify import certify_embeddings, certify_threshold
from facemargin.evaluation.protocols.verification import evaluate_verification
from facemargin.models.model import Model, Progress
from facemargin.models.training_faces import not_of_others, warn_of_training_faces
from facemargin.models.views import Views
from facemargin.version import __version__


def certify(
    model: Model,
    faces: LabeledImages | VerificationSet,
    fmr: float,
    confidence: float = 0.95,
    fnmr: float | None = None,
    bands: int | Sequence[float] = 1,
    views: Views | None = None,
    progress: Progress | None = None,
    embeddings: Embeddings | None = None,
    detector: Detector | str | None = None,
    gallery: LabeledImages | None = None,
    gallery_embeddings: Embeddings | None = None,
) -> Certificate:
    """The thresholds of `model` at which an FMR of at most `fmr` is promised for people whom nobody has tested, with
    `confidence`, whatever these people are like.

    faces: images with identities, all of which are compared with each other, or a list of pairs, which certifies far
    less. People must be drawn at random from those the model will meet. fnmr: also the highest threshold below which
    pairs are "different", with at most this FNMR; without it nobody is. bands: a number of bands of quality, each with
    thresholds of its own, or their edges. embeddings: those of the images of `faces`, if they are computed already.
    detector: what found the faces, as an object or by its name; None for images that are used as they are. gallery:
    compare them with the people who are enrolled in it instead of with each other, as `certify_gallery` does; names say
    who is enrolled, and the promise is about this gallery alone. gallery_embeddings: as `embeddings`, of its images.

    A rate that so few people cannot certify is no error: the certificate says what it would need. Raises ConfigError
    for a rate or confidence outside (0, 1), unusable bands and a detector that does not say its settings; DataError for
    pairs that do not say who is in the images, for fewer than two people, for vectors that are zero or not finite, for
    a gallery without names or in which everybody is enrolled, and for pictures that are in the faces and the gallery.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> certificate = fm.certify(model, fm.open_images("orl:1-40"), fmr=0.3, fnmr=0.3)
        >>> [rate.certified for rate in (certificate.thresholds.bands[0].fmr, certificate.thresholds.bands[0].fnmr)]
        [0.3, 0.3]
    """
    if not isinstance(faces, LabeledImages | VerificationSet):
        raise ConfigError(
            f"the faces are a {type(faces).__name__}, expected images with identities or a list of pairs, as "
            "open_images and open_verification return"
        )
    if gallery is None and gallery_embeddings is not None:
        raise ConfigError("gallery_embeddings are given without a gallery: give the images that they are of, too")
    used = views or model.info.views
    name, settings = _found_by(detector)
    warn_of_training_faces(model.info, faces, not_of_others("promises"), compare_images=detector is None)

    def embed(images: ImageSource) -> Embeddings:
        given = gallery_embeddings if images is gallery else embeddings
        found = model.embed(images, views=used, progress=progress) if given is None else given
        _require_directions(found, images)
        return found

    about = None
    if gallery is not None:
        found, people, digest, about = with_gallery(embed, faces, gallery, fmr, confidence, fnmr, bands)
    elif isinstance(faces, VerificationSet):
        found, people, digest = _of_list(embed, faces, fmr, confidence, fnmr, bands)
    else:
        people = len(np.unique(faces.labels))
        found = certify_embeddings(embed(faces), faces.labels, fmr, confidence, fnmr, bands)
        digest = data_digest(faces, faces.labels)
    images = faces.images if isinstance(faces, VerificationSet) else faces
    return Certificate(
        thresholds=found,
        faces=CertifiedFaces(faces.name, people, len(images), digest, name, settings),
        quality=model.info.quality,
        views=used,
        fingerprint=fingerprint(model, used),
        date=datetime.now(UTC).date().isoformat(),
        version=__version__,
        gallery=about,
    )


def _of_list(
    embed: Embed,
    pairs: VerificationSet,
    fmr: float,
    confidence: float,
    fnmr: float | None,
    bands: int | Sequence[float],
) -> tuple[CertifiedThresholds, int, str]:
    """What the list certifies, how many people are in it, and its digest."""
    if pairs.identities_N is None:
        raise DataError(
            f"{pairs.name} does not say who is in its images, and a promise rests on people, not on pairs: use pairs "
            "with names (pairs.txt and its folders), or a folder with one folder per person (--images)"
        )
    if bands != 1:
        raise ConfigError(
            f"{pairs.name} is a list of pairs, and bands of quality need everybody compared with everybody: use a "
            "folder with one folder per person (--images)"
        )
    scores = evaluate_verification(embed, pairs, "facemargin")
    assert scores.identities_a_K is not None and scores.identities_b_K is not None
    found = certify_threshold(
        scores.scores_K, scores.same_K, scores.identities_a_K, scores.identities_b_K, fmr, confidence, "list", fnmr
    )
    people = len(np.union1d(scores.identities_a_K, scores.identities_b_K))
    return found, people, data_digest(pairs.images, pairs.first_K, pairs.second_K, pairs.identities_N)


def _require_directions(embeddings: Embeddings, images: ImageSource) -> None:
    if len(embeddings) != len(images):
        raise DataError(
            f"{counted(len(embeddings), 'embedding')} for the {counted(len(images), 'image')} of {images.name}, "
            "expected one per image, in order"
        )
    zero_N = ~embeddings.vectors.any(axis=1)
    if zero_N.any():
        raise DataError(
            f"the vector of {images.describe(int(np.argmax(zero_N)))} is all zeros, which has no direction "
            f"({np.count_nonzero(zero_N):,} of {counted(len(images), 'image')})"
        )


def _found_by(detector: Detector | str | None) -> tuple[str | None, dict[str, Setting] | None]:
    if detector is None:
        return None, None
    name, settings = identify_detector(detector)
    if settings is None:
        raise ConfigError(
            f"the detector {name} does not say with which settings it finds faces (its attribute `settings`), so "
            "nobody could tell later whether the certificate still holds for the faces it finds"
        )
    return name, settings
