"""The numbers of a protocol, by the names under which tables compare systems."""

import json
import math
from dataclasses import dataclass

from facemargin.evaluation.plain import plain
from facemargin.evaluation.protocols.protocol_result import ProtocolResult, SearchResult, VerificationResult


@dataclass(frozen=True)
class Figure:
    """A rate (NaN where it is not defined), its name, and what stands behind it."""

    name: str
    value: float
    behind: str = ""


def protocol_figures(result: ProtocolResult) -> list[Figure]:
    """TAR at each FAR, ranks and TPIR at each FPIR, in the protocol's order; the experiment's name comes first where
    there are several of a kind. Of two galleries of IJB the mean of their rates follows, which is what the protocol
    reports: each gallery weighs the same, however many of the probes have their mate in it."""
    figures = [
        figure
        for one in result.verification
        for figure in _verification(one, f"{one.name} " if len(result.verification) > 1 else "")
    ]
    figures += [
        figure for one in result.searches for figure in _search(one, f"{one.name} " if len(result.searches) > 1 else "")
    ]
    if result.protocol in ("ijbb", "ijbc") and len(result.searches) == 2:
        figures += _means(result.searches)
    return figures


def tar_name(far: float) -> str:
    """ "TAR at FAR 0.0001", "TAR at FAR 1e-5" """
    return f"TAR at FAR {far:g}".replace("e-0", "e-")


def _verification(one: VerificationResult, prefix: str) -> list[Figure]:
    return [
        Figure(
            prefix + tar_name(point.target_far),
            point.tar,
            f"{point.impostors_accepted:,} of {point.impostors:,} impostors, {point.genuine:,} genuine",
        )
        for point in one.tar_at_far.points
    ]


def _search(one: SearchResult, prefix: str) -> list[Figure]:
    found = one.identification
    mated, strangers = f"{found.mated_probes:,} mated probes", f"{found.nonmated_probes:,} strangers"
    people = {"images": "", "best": ", the best a person", "mean": ", the mean a person"}[one.candidates]
    gallery = f"{mated} in a gallery of {one.gallery:,}{people}"
    ranks = [Figure(f"{prefix}rank {rank}", rate, gallery) for rank, rate in found.rank_rates.items()]
    tpir = "TPIR" if one.open_set_rank == 1 else f"TPIR{one.open_set_rank}"
    behind = f"{mated}, non-mates of all pairs" if one.rule == "published" else f"{mated}, {strangers}{people}"
    return ranks + [
        Figure(f"{prefix}{tpir} at FPIR {fpir:g}", rate, behind) for fpir, rate in found.tpir_at_fpir.items()
    ]


def _means(searches: tuple[SearchResult, ...]) -> list[Figure]:
    galleries = [_search(one, "1:N mean ") for one in searches]
    behind = f"mean of the rates of {' and '.join(one.name.removeprefix('1:N ') for one in searches)}"
    return [
        Figure(one[0].name, math.fsum(figure.value for figure in one) / len(one), behind)
        for one in zip(*galleries, strict=True)
    ]


def protocol_json(result: ProtocolResult) -> str:
    """The whole result, curves included, with its `figures` beside; null for what is not finite."""
    return json.dumps(plain(result) | {"figures": plain(protocol_figures(result))}, indent=2, allow_nan=False)
