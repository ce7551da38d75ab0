"""The parts of every protocol: images, templates made of them, pairs, and searches.

Shapes: N images, E images of templates (an image in two templates counts twice), U units (the things that are compared:
templates, or images if there are no templates), K pairs, P probes, G gallery entries.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.source import ImageSource
from facemargin.evaluation.metrics.identification import OpenSetRule
from facemargin.evaluation.metrics.pairs import BoolArray, IntArray
from facemargin.registry import NameOf, Registry

Rule = Literal["standard", "published"]
"""The rules that choose thresholds: those of the standards (the smallest threshold with FAR ≤ target; ISO/IEC 19795-1
for 1:N), or those of the scripts behind published numbers (the nearest FAR among the corners of the ROC; for 1:N the
rule of the IJB scripts)."""

GalleryName = Literal["images", "best", "mean"]
"""How a search treats the images of a person in a gallery (see `gallery`)."""

Units = NDArray[np.integer]


@dataclass(frozen=True)
class TemplateLists:
    """The template `template_E` (unit numbers; each of 0 to U-1 occurs), the media and the image of every entry; the
    detector scores if the protocol has them. `names` (U,) are the names of the templates in messages and files."""

    names: NDArray[Any]
    template_E: IntArray
    media_E: IntArray
    image_E: IntArray
    detector_E: NDArray[np.float32] | None = None


@dataclass(frozen=True, repr=False)
class PairExperiment:
    """Verification: pairs of units `first_K` and `second_K`, which are genuine if `same_K`, at the FARs that the
    protocol reports. `people_U`: the number of the person in every unit, if the lists say it of all in the pairs."""

    name: str
    first_K: Units
    second_K: Units
    same_K: BoolArray
    fars: tuple[float, ...]
    people_U: IntArray | None = None

    def __repr__(self) -> str:
        pairs = f"{counted(len(self.same_K), 'pair')}, {int(self.same_K.sum()):,} of them genuine"
        return f"PairExperiment({self.name!r}: {pairs})"


@dataclass(frozen=True, repr=False)
class SearchExperiment:
    """Identification: units `probe_P` are searched among the units `gallery_G`; equal ids are mates. See
    `identification` for the rule and for `open_set_rank`. If `gallery` is "best", the candidates are people, otherwise
    units. Without `fpirs` it is closed-set only."""

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

    def __repr__(self) -> str:
        searches = f"{counted(len(self.probe_P), 'search', 'searches')} in a gallery of {len(self.gallery_G):,}"
        return f"SearchExperiment({self.name!r}: {searches})"


@dataclass(frozen=True, repr=False)
class Protocol:
    """Defines the images to embed and which of them are compared.

    `image_key` stands for everything except the images' names that determines their pixels, such as the landmarks for
    alignment. `notes` are remarks on the lists for the user.
    """

    name: str
    images: ImageSource
    experiments: tuple[PairExperiment | SearchExperiment, ...]
    templates: TemplateLists | None = None
    image_key: str = ""
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        experiments = ", ".join(map(repr, self.experiments))
        return f"Protocol({self.name!r}: {counted(len(self.images), 'image')}; {experiments})"


LoadProtocol = Callable[[Path, Rule], Protocol]
"""A function that reads the lists of a protocol from its folder. It raises DataError, which names the file and line,
for wrong lists."""

PROTOCOLS: Registry[LoadProtocol] = Registry("protocol", "facemargin.evaluation.protocols")

ProtocolName = Annotated[str, NameOf(PROTOCOLS)]


def register_protocol(name: str, description: str) -> Callable[[LoadProtocol], LoadProtocol]:
    """Decorator that registers the function that reads the lists of a protocol, for `load_protocol` and `facemargin
    evaluate --protocol`. `facemargin list protocols` shows the `description`."""
    return PROTOCOLS.register(name, description=description)
