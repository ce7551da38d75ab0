"""What a person of a gallery is to a search: each of their images, the best of them, or their mean.

Published figures differ by this more than by the model: SurvFace's gallery has several images a person, which the
benchmark's own code searches image by image, and other public codes as one template each. Shapes: E entries, G gallery
entries, I people.
"""

from dataclasses import replace
from typing import get_args

import numpy as np

from facemargin.errors import ConfigError
from facemargin.evaluation.metrics.pairs import IntArray
from facemargin.evaluation.protocols.protocol import GalleryName, Protocol, SearchExperiment, TemplateLists

GALLERY_WORDS: dict[GalleryName, str] = {
    "images": "every entry a candidate",
    "best": "a person scores as the best of their entries",
    "mean": "a person is the mean of their images",
}


def with_gallery(protocol: Protocol, gallery: GalleryName) -> Protocol:
    """`protocol` with galleries searched so: "images" as its lists have them, "best" where every person is one
    candidate who scores as the best of their entries, "mean" where all images of a person make one template.
    Distractors are a person each. Raises ConfigError for another name, and for a protocol that it does not apply to."""
    if gallery not in get_args(GalleryName):
        raise ConfigError(f"unknown gallery {gallery!r}; known: {', '.join(get_args(GalleryName))}")
    if gallery == "images":
        return protocol
    searches = [one for one in protocol.experiments if isinstance(one, SearchExperiment)]
    if not searches or any(one.rule == "published" for one in searches):
        what = "the published rule counts entries of the gallery" if searches else "there is no gallery"
        raise ConfigError(f"gallery {gallery} does not apply to {protocol.name} here: {what}")
    if gallery == "best":
        experiments = tuple(
            replace(one, gallery_ids_G=_people(one), gallery="best") if isinstance(one, SearchExperiment) else one
            for one in protocol.experiments
        )
        return replace(protocol, experiments=experiments)
    if protocol.templates is not None or len(searches) < len(protocol.experiments):
        raise ConfigError(f"gallery mean does not apply to {protocol.name} here: its lists make templates already")
    return _with_means(protocol, searches)


def _people(search: SearchExperiment) -> IntArray:
    """The gallery's ids (G,), where every distractor is somebody else."""
    ids_G: IntArray = np.where(
        search.gallery_ids_G < 0, -1 - np.arange(len(search.gallery_ids_G)), search.gallery_ids_G
    )
    return ids_G


def _with_means(protocol: Protocol, searches: list[SearchExperiment]) -> Protocol:
    """Every probe's image is a template of its own, and so are the images of each person of a gallery."""
    images_P, probe_unit = np.unique(np.concatenate([one.probe_P for one in searches]), return_inverse=True)
    names = [protocol.images.describe(int(image)) for image in images_P]
    template_E, image_E = [np.arange(len(images_P))], [images_P]
    experiments = []
    first_probe = 0
    for one in searches:
        ids_I, person_G = np.unique(_people(one), return_inverse=True)
        template_E.append(len(names) + person_G)
        image_E.append(one.gallery_G)
        experiments.append(
            replace(
                one,
                probe_P=probe_unit[first_probe : first_probe + len(one.probe_P)],
                gallery_G=len(names) + np.arange(len(ids_I)),
                gallery_ids_G=np.where(ids_I < 0, -1, ids_I),
                gallery="mean",
            )
        )
        names += [f"{one.name}, gallery, person {identity}" for identity in ids_I.tolist()]
        first_probe += len(one.probe_P)
    entries = sum(map(len, image_E))
    templates = TemplateLists(
        names=np.array(names, dtype=object),
        template_E=np.concatenate(template_E),
        media_E=np.arange(entries),
        image_E=np.concatenate(image_E),
    )
    return replace(protocol, experiments=tuple(experiments), templates=templates)
