"""What every protocol reduces to: images, templates made of them, pairs, and searches.

Shapes: N images, E images of templates (one that is in two counts twice), U units: the things that are compared, which
are the templates, or the images where there are none; K pairs, P probes, G gallery entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.data.source import ImageSource
from facemargin.evaluation.metrics.identification import OpenSetRule
from facemargin.evaluation.metrics.pairs import BoolArray, IntArray
from facemargin.registry import NameOf, Registry

Rule = Literal["standard", "published"]
"""Which rules settle thresholds: those of the standards (the smallest threshold with FAR ≤ target; ISO/IEC 19795-1 for
1:N), or those of the scripts that published numbers are made with (the nearest FAR among the ROC's corners; the IJB
scripts' own for 1:N)."""

GalleryName = Literal["images", "best", "mean"]
"""What a person of a gallery is to a search (see `gallery`)."""

Units = NDArray[np.integer]


@dataclass(frozen=True)
class TemplateLists:
    """Template `template_E` (unit numbers, all from 0 to U-1 present), media and image of every entry; the detector's
    scores where the protocol has them. `names` (U,) are what messages and files call the templates."""

    names: NDArray[Any]
    template_E: IntArray
    media_E: IntArray
    image_E: IntArray
    detector_E: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class PairExperiment:
    """Verification: units `first_K` and `second_K`, genuine where `same_K`, at the FARs that the protocol reports."""

    name: str
    first_K: Units
    second_K: Units
    same_K: BoolArray
    fars: tuple[float, ...]


@dataclass(frozen=True)
class SearchExperiment:
    """Identification: units `probe_P` searched among the units `gallery_G`; equal ids are mates. See `identification`
    for the rule and for `open_set_rank`. Where `gallery` is "best", people are candidates, else units. Without `fpirs`
    it is closed-set only."""

    name: str
    probe_P: Units
    gallery_G: Units
    probe_ids_P: NDArray[Any]
    gallery_ids_G: NDArray[Any]
    ranks: tuple[int, ...]
    fpirs: tuple[float, ...] = ()
    rule: OpenSetRule = "standard"
    open_set_rank: int = 1
    gallery: GalleryName = "images"


@dataclass(frozen=True)
class Protocol:
    """What is embedded, and what is compared with what.

    `image_key` stands for whatever determines the pixels beside the names of the images, such as the landmarks that
    they are aligned by. `notes` say what the user should know of what was found.
    """

    name: str
    images: ImageSource
    experiments: tuple[PairExperiment | SearchExperiment, ...]
    templates: TemplateLists | None = None
    image_key: str = ""
    notes: tuple[str, ...] = ()


LoadProtocol = Callable[[Path, Rule], Protocol]
"""Reads a protocol's lists from its folder; raises DataError naming the file and line that is wrong."""

PROTOCOLS: Registry[LoadProtocol] = Registry("protocol", "facemargin.evaluation.protocols")

ProtocolName = Annotated[str, NameOf(PROTOCOLS)]


def register_protocol(name: str, description: str) -> Callable[[LoadProtocol], LoadProtocol]:
    """Decorator that files the function that reads a protocol's lists for `load_protocol` and `facemargin evaluate
    --protocol`, with the words that `facemargin list protocols` has for it."""
    return PROTOCOLS.register(name, description=description)
