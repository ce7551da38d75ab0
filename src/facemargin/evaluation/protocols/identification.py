"""Identification protocols defined by lists of a gallery, probes and, optionally, distractors (see `search_lists`).

    gallery.csv, probe.csv, distractors.csv    the general one, "identification"
    images/                                    what their paths are relative to; without it, the folder itself

IJB-S and DroneSURF have such lists in one folder per part, with the images in the folder above:
`surveillance_to_still`, `surveillance_to_booking` and `surveillance_to_surveillance`; `active` and `passive`. Neither
is distributed in a fixed layout: convert their lists to this form once.

Kalka et al., IJB-S, BTAS 2018; Kalra et al., DroneSURF, FG 2019.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from facemargin.data.formats.image_files import ImageFiles
from facemargin.errors import DataError
from facemargin.evaluation.protocols.list_doubts import check_lists
from facemargin.evaluation.protocols.protocol import Protocol, Rule, SearchExperiment, register_protocol
from facemargin.evaluation.protocols.search_lists import Entry, gather, read_list

RANKS = (1, 5, 10)
FPIRS = (0.01, 0.1)
IJBS_PARTS = ("surveillance_to_still", "surveillance_to_booking", "surveillance_to_surveillance")
DRONESURF_PARTS = ("active", "passive")


def searches_of(
    name: str,
    images: Path,
    parts: dict[str, dict[str, list[Entry]]],
    ranks: Sequence[int],
    fpirs: Sequence[float],
    open_set_rank: int = 1,
) -> Protocol:
    """A protocol with one search per part. Each part has the lists "gallery", "probe" and, optionally,
    "distractors"."""
    # the images of the gallery are consecutive, so that features on disk can be searched without a copy
    gathered = gather(
        {
            f"{part} {kind}": lists[kind]
            for part, lists in parts.items()
            for kind in ("gallery", "distractors", "probe")
            if kind in lists
        }
    )
    searches = []
    notes: list[str] = []
    for part, lists in parts.items():
        try:
            notes += check_lists(part, lists)
        except DataError as error:
            raise DataError(f"{images}: {error}") from error
        gallery = [f"{part} {kind}" for kind in ("gallery", "distractors") if kind in lists]
        searches.append(
            SearchExperiment(
                name=part,
                probe_P=gathered.units[f"{part} probe"],
                gallery_G=np.concatenate([gathered.units[list_name] for list_name in gallery]),
                probe_ids_P=gathered.identities[f"{part} probe"],
                gallery_ids_G=np.concatenate([gathered.identities[list_name] for list_name in gallery]),
                ranks=tuple(ranks),
                fpirs=tuple(fpirs),
                open_set_rank=open_set_rank,
            )
        )
    images_of = ImageFiles(images, gathered.image_names)
    return Protocol(name, images_of, tuple(searches), gathered.templates, notes=tuple(notes))


@register_protocol("identification", "a gallery, probes and distractors as CSV lists; images or templates")
def _load_lists(folder: Path, rule: Rule) -> Protocol:
    return searches_of("identification", _images(folder), {"search": _lists(folder)}, RANKS, FPIRS)


def _load_parts(
    name: str, known: Sequence[str], ranks: Sequence[int], fpirs: Sequence[float], folder: Path, rule: Rule
) -> Protocol:
    parts = {part: _lists(folder / part) for part in known if (folder / part).is_dir()}
    if not parts:
        raise DataError(
            f"{folder} has none of the folders {', '.join(known)}; expected at least one, with gallery.csv and "
            "probe.csv in it"
        )
    return searches_of(name, _images(folder), parts, ranks, fpirs)


register_protocol("ijbs", "IJB-S, three searches of video templates, as CSV lists")(
    partial(_load_parts, "ijbs", IJBS_PARTS, RANKS, FPIRS)
)
register_protocol("dronesurf", "DroneSURF, active and passive, as CSV lists")(
    partial(_load_parts, "dronesurf", DRONESURF_PARTS, (1, 5), ())
)


def _lists(folder: Path) -> dict[str, list[Entry]]:
    lists = {kind: read_list(folder / f"{kind}.csv") for kind in ("gallery", "probe")}
    distractors = folder / "distractors.csv"
    return lists | ({"distractors": read_list(distractors, distractors=True)} if distractors.exists() else {})


def _images(folder: Path) -> Path:
    return folder / "images" if (folder / "images").is_dir() else folder
