"""The figures of a protocol, under the names that tables use to compare systems."""

import json
import math
from dataclasses import dataclass

from facemargin.evaluation.plain import plain
from facemargin.evaluation.protocols.protocol_result import ProtocolResult, SearchResult, VerificationResult


@dataclass(frozen=True)
class Figure:
    """A rate (NaN if it is not defined), its name, and a text that says what it rests on."""

    name: str
    value: float
    behind: str = ""


def protocol_figures(result: ProtocolResult) -> list[Figure]:
    """TAR at each FAR, ranks and TPIR at each FPIR, in the protocol's order. If there are several experiments of a
    kind, names begin with that of the experiment. For the two galleries of IJB, the mean of their rates follows, which
    is what the protocol reports: each gallery has the same weight, independent of the number of its mated probes."""
    figures = [
        figure
        for experiment in result.verification
        for figure in _verification(experiment, f"{experiment.name} " if len(result.verification) > 1 else "")
    ]
    figures += [
        figure
        for experiment in result.searches
        for figure in _search(experiment, f"{experiment.name} " if len(result.searches) > 1 else "")
    ]
    if result.protocol in ("ijbb", "ijbc") and len(result.searches) == 2:
        figures += _means(result.searches)
    return figures


def tar_name(far: float) -> str:
    """ "TAR at FAR 0.0001", "TAR at FAR 1e-5" """
    return f"TAR at FAR {far:g}".replace("e-0", "e-")


def _verification(experiment: VerificationResult, prefix: str) -> list[Figure]:
    return [
        Figure(
            prefix + tar_name(point.target_far),
            point.tar,
            f"{point.impostors_accepted:,} of {point.impostors:,} impostors, {point.genuine:,} genuine",
        )
        for point in experiment.tar_at_far.points
    ]


def _search(experiment: SearchResult, prefix: str) -> list[Figure]:
    rates = experiment.identification
    mated, strangers = f"{rates.mated_probes:,} mated probes", f"{rates.nonmated_probes:,} strangers"
    people = {"images": "", "best": ", the best a person", "mean": ", the mean a person"}[experiment.candidates]
    gallery = f"{mated} in a gallery of {experiment.gallery:,}{people}"
    ranks = [Figure(f"{prefix}rank {rank}", rate, gallery) for rank, rate in rates.rank_rates.items()]
    tpir = "TPIR" if experiment.open_set_rank == 1 else f"TPIR{experiment.open_set_rank}"
    behind = f"{mated}, non-mates of all pairs" if experiment.rule == "published" else f"{mated}, {strangers}{people}"
    return ranks + [
        Figure(f"{prefix}{tpir} at FPIR {fpir:g}", rate, behind) for fpir, rate in rates.tpir_at_fpir.items()
    ]


def _means(searches: tuple[SearchResult, ...]) -> list[Figure]:
    galleries = [_search(search, "1:N mean ") for search in searches]
    behind = f"mean of the rates of {' and '.join(search.name.removeprefix('1:N ') for search in searches)}"
    return [
        Figure(search[0].name, math.fsum(figure.value for figure in search) / len(search), behind)
        for search in zip(*galleries, strict=True)
    ]


def protocol_json(result: ProtocolResult) -> str:
    """The whole result with its curves and `figures`. Numbers that are not finite become null."""
    return json.dumps(plain(result) | {"figures": plain(protocol_figures(result))}, indent=2, allow_nan=False)
