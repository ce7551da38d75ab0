"""Makes the certificate of a gallery from searches for people who are not enrolled, and who are.

Shapes: S searches.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from facemargin.counting import counted
from facemargin.data.source import LabeledImages
from facemargin.detection.detector import Detector
from facemargin.errors import ConfigError, DataError, ImageError
from facemargin.evaluation.metrics.certified_bound import risk
from facemargin.gallery.certificate import GalleryCertificate, certified_search_rate
from facemargin.gallery.identifying import identify
from facemargin.gallery.looking import pixel_digest
from facemargin.gallery.named import known_names
from facemargin.gallery.rule import SearchRule, check_fpir
from facemargin.gallery.store import Store
from facemargin.models.model import Model
from facemargin.version import __version__


def certify_searches(
    store: Store,
    model: Model,
    detector: Detector | None,
    faces: LabeledImages,
    fpir: float,
    fnir: float | None,
    confidence: float,
    floor: float | None,
    batch_size: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GalleryCertificate:
    """See `Gallery.certify`."""
    if not isinstance(faces, LabeledImages) or not faces.has_names:
        raise DataError(
            "the faces of a certificate are images with the names of their people, which tell who is enrolled: give a "
            "folder with one folder per person, named as in the gallery"
        )
    check_fpir(fpir)
    if fnir is not None and not 0 < fnir < 1:
        raise ConfigError(f"the FNIR is {fnir}, expected a number between 0 and 1, such as 0.1")
    delta = risk(confidence) / (1 if fnir is None else 2)
    name_of = known_names(store, faces.identity_names)
    names = [name_of[label] for label in faces.labels.tolist()]
    known = dict(zip(dict.fromkeys(names), store.person_numbers(list(dict.fromkeys(names))), strict=True))
    _require_other_pictures(store, faces, names, {name for name, number in known.items() if number is not None})
    state, enrolled = store.state(), store.counts()[0]
    bare = SearchRule(2.0, None, floor, ())  # nobody reaches it: only the quality decides
    answers = list(identify(store, model, detector, bare, faces, None, 1, None, "largest", batch_size, progress))
    if store.state() != state:
        raise DataError(f"{store.name} has changed meanwhile: certify it again when nobody enrols")
    poor_S = np.array([answer.decision == "too poor to decide" for answer in answers], bool)
    score_S = np.array([answer.score for answer in answers], np.float64)
    usable_S = ~np.isnan([answer.quality for answer in answers])
    score_S = np.where(poor_S | np.isnan(score_S), -np.inf, score_S)
    enrolled_S = np.array([known[name] is not None for name in names], bool)
    name_S = np.array(names)
    strange_S = usable_S & ~enrolled_S
    found = certified_search_rate(score_S[strange_S], name_S[strange_S], fpir, delta)
    missed = None
    if fnir is not None:
        decided_S = enrolled_S & ~poor_S
        missed = certified_search_rate(-score_S[decided_S], name_S[decided_S], fnir, delta)
        if missed.threshold is not None:  # scores below it, of which at most so many are certified
            at = float(np.nextafter(-missed.threshold, np.inf))
            missed = replace(missed, threshold=at)
    return GalleryCertificate(
        gallery=store.name,
        state=state,
        enrolled=enrolled,
        faces=faces.name,
        fpir=found,
        fnir=missed,
        confidence=confidence,
        quality_floor=floor,
        unusable=int((~usable_S).sum()),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
    )


def _digest(faces: LabeledImages, index: int) -> int | None:
    try:
        return pixel_digest(faces.read(index))
    except ImageError:  # the search says what is wrong with it
        return None


def _require_other_pictures(store: Store, faces: LabeledImages, names: list[str], enrolled: set[str]) -> None:
    """A picture compared with itself says nothing about how often an enrolled person is missed."""
    kept = {name: {image.digest for image in store.images(name)} for name in enrolled}
    twice = [index for index, name in enumerate(names) if name in enrolled and _digest(faces, index) in kept[name]]
    if twice:
        verb = "is" if len(twice) == 1 else "are"
        raise DataError(
            f"{counted(len(twice), 'picture')} {verb} enrolled, too; the first is {faces.describe(twice[0])}: keep "
            "other pictures of enrolled people among those who are looked for"
        )
