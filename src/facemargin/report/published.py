"""Figures published in papers, in percent, under the names that `protocol_figures` uses.

Source: the tables of FunFace (arXiv 2604.26598, FG 2026), all with IR-101. FunFace took the figures of the other
methods from their papers or measured their released models. Thresholds are those of the nearest FAR; templates are
pooled as AdaFace does.
"""

from dataclasses import dataclass

SOURCE = "arXiv 2604.26598"

_IJBC = ("TAR at FAR 0.0001", "TAR at FAR 1e-5", "TAR at FAR 1e-6")
_TINYFACE = ("rank 1", "rank 5")
_DRONESURF = ("active rank 1", "active rank 5", "passive rank 1", "passive rank 5")
_SURVFACE = ("TAR at FAR 0.3", "TAR at FAR 0.2", "TAR at FAR 0.1", "TAR at FAR 0.01")


@dataclass(frozen=True)
class Published:
    """The figures of one system on one protocol. A figure that the paper does not give is left out."""

    system: str
    figures: dict[str, float]


def published(protocol: str) -> list[Published]:
    """The published figures of `protocol`; empty if there are none."""
    names, rows = _TABLES.get(protocol, ((), {}))
    return [
        Published(system, dict(zip(names, values, strict=False)))  # a row may be shorter than the list of names
        for system, values in rows.items()
    ]


_TABLES: dict[str, tuple[tuple[str, ...], dict[str, tuple[float, ...]]]] = {
    "ijbc": (
        _IJBC,
        {
            "FunFace, MS1MV2": (96.82, 94.47, 89.01),
            "FunFace, MS1MV3": (97.20, 95.54, 90.03),
            "FunFace, WebFace4M": (97.31, 95.62, 90.81),
            "AdaFace, MS1MV2": (96.89,),
            "AdaFace, MS1MV3": (97.09,),
            "AdaFace, WebFace4M": (97.39,),
            "ArcFace, MS1MV2": (96.03,),
            "ArcFace, WebFace4M": (97.16,),
            "MagFace, MS1MV2": (95.97, 94.08, 90.24),
            "CosFace, MS1MV2": (96.37,),
            "CurricularFace, MS1MV2": (96.10,),
            "MV-Softmax, MS1MV2": (95.20,),
            "ElasticFace-Arc+, MS1MV2": (96.40,),
            "ElasticFace-Cos+, MS1MV2": (96.65,),
        },
    ),
    "tinyface": (
        _TINYFACE,
        {
            "FunFace, MS1MV2": (69.07, 72.21),
            "FunFace, MS1MV3": (69.88, 73.04),
            "FunFace, WebFace4M": (73.31, 76.05),
            "AdaFace, MS1MV2": (68.21, 71.54),
            "AdaFace, MS1MV3": (67.81, 70.98),
            "AdaFace, WebFace4M": (72.02, 74.52),
            "ArcFace, WebFace4M": (71.11, 74.38),
            "CurricularFace, MS1MV2": (63.68, 67.65),
        },
    ),
    "dronesurf": (
        _DRONESURF,
        {
            "FunFace, MS1MV2": (65.20, 75.76, 32.65, 44.46),
            "FunFace, MS1MV3": (68.68, 78.25, 35.58, 47.16),
            "FunFace, WebFace4M": (75.06, 83.51, 44.10, 55.93),
            "AdaFace, MS1MV2": (59.00, 70.37, 27.51, 39.59),
            "AdaFace, MS1MV3": (63.03, 73.86, 31.30, 43.64),
            "AdaFace, WebFace4M": (72.91, 81.87, 41.62, 53.67),
            "MagFace, MS1MV2": (56.92, 68.57, 25.07, 37.27),
            "ElasticFace, MS1MV2": (58.23, 69.94, 26.42, 38.70),
        },
    ),
    "survface": (
        _SURVFACE,
        {
            "FunFace, MS1MV2": (60.50, 48.83, 34.39, 11.91),
            "FunFace, MS1MV3": (59.69, 47.98, 32.70, 8.85),
            "FunFace, WebFace4M": (71.12, 61.48, 46.41, 16.18),
            "AdaFace, MS1MV2": (55.97, 45.39, 29.71, 7.55),
            "AdaFace, MS1MV3": (58.83, 47.50, 31.74, 6.88),
            "AdaFace, WebFace4M": (67.93, 57.04, 41.20, 10.37),
            "MagFace, MS1MV2": (58.15, 47.04, 32.53, 9.45),
            "ElasticFace, MS1MV2": (56.76, 46.18, 32.38, 10.37),
        },
    ),
}
