"""How a search treats the images of a person in a gallery: each by itself, the best of them, or their mean.

In published figures, this choice matters more than the model: SurvFace's gallery has several images per person. The
benchmark's own code searches each image, while other public code makes one template per person. Shapes: E entries, G
gallery entries, I people.
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
    """`protocol` with its galleries treated as `gallery` says. "images": every entry of the lists is a candidate.
    "best": every person is one candidate, with the score of their best entry. "mean": all images of a person make one
    template. Every distractor counts as a person. Raises ConfigError for another name, and for a protocol to which it
    does not apply."""
    if gallery not in get_args(GalleryName):
        raise ConfigError(f"unknown gallery {gallery!r}; known: {', '.join(get_args(GalleryName))}")
    if gallery == "images":
        return protocol
    searches = [experiment for experiment in protocol.experiments if isinstance(experiment, SearchExperiment)]
    if not searches or any(experiment.rule == "published" for experiment in searches):
        what = (
            "the published rule counts entries of the gallery, not people"
            if searches
            else ("the protocol has no gallery")
        )
        raise ConfigError(f"gallery {gallery} does not apply to {protocol.name}: {what}. Use gallery images")
    if gallery == "best":
        experiments = tuple(
            replace(experiment, gallery_ids_G=_people(experiment), gallery="best")
            if isinstance(experiment, SearchExperiment)
            else experiment
            for experiment in protocol.experiments
        )
        return replace(protocol, experiments=experiments)
    if protocol.templates is not None or len(searches) < len(protocol.experiments):
        raise ConfigError(
            f"gallery mean does not apply to {protocol.name}: its lists define templates already. Use gallery images "
            "or best"
        )
    return _with_means(protocol, searches)


def _people(search: SearchExperiment) -> IntArray:
    """The ids of the gallery (G,), in which every distractor is another person."""
    ids_G: IntArray = np.where(
        search.gallery_ids_G < 0, -1 - np.arange(len(search.gallery_ids_G)), search.gallery_ids_G
    )
    return ids_G


def _with_means(protocol: Protocol, searches: list[SearchExperiment]) -> Protocol:
    """Make a template of every probe's image, and one of all images of each person in a gallery."""
    images_P, probe_unit = np.unique(np.concatenate([search.probe_P for search in searches]), return_inverse=True)
    names = [protocol.images.describe(int(image)) for image in images_P]
    template_E, image_E = [np.arange(len(images_P))], [images_P]
    experiments = []
    first_probe = 0
    for search in searches:
        ids_I, person_G = np.unique(_people(search), return_inverse=True)
        template_E.append(len(names) + person_G)
        image_E.append(search.gallery_G)
        experiments.append(
            replace(
                search,
                probe_P=probe_unit[first_probe : first_probe + len(search.probe_P)],
                gallery_G=len(names) + np.arange(len(ids_I)),
                gallery_ids_G=np.where(ids_I < 0, -1, ids_I),
                gallery="mean",
            )
        )
        names += [f"{search.name}, gallery, person {identity}" for identity in ids_I.tolist()]
        first_probe += len(search.probe_P)
    entries = sum(map(len, image_E))
    templates = TemplateLists(
        names=np.array(names, dtype=object),
        template_E=np.concatenate(template_E),
        media_E=np.arange(entries),
        image_E=np.concatenate(image_E),
    )
    return replace(protocol, experiments=tuple(experiments), templates=templates)
