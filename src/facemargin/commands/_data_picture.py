"""The picture that `facemargin data inspect --picture` draws."""

from pathlib import Path

import numpy as np

from facemargin.counting import counted
from facemargin.data.inspection import Inspection

PICTURE_SUFFIXES = (".svg", ".png")
_BINS = 40


def draw_inspection(inspection: Inspection, name: str, path: Path, file_format: str) -> None:
    """Draw two histograms: of the number of images per identity, and of the shorter sides of the images."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    from facemargin.report.style import STYLE, line_styles

    color = line_styles([name])[name].color
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 3.4))
        people, sides = figure.subplots(1, 2)
        counts_C = inspection.images_per_identity_C
        people.hist(counts_C, bins=_edges(counts_C.min(), counts_C.max()), color=color)
        people.set(
            xlabel="images per identity", ylabel="identities", title=counted(len(counts_C), "identity", "identities")
        )
        shorter = [min(size) for size in inspection.sizes] or [0]
        images = list(inspection.sizes.values()) or [0]
        sides.hist(shorter, bins=_edges(min(shorter), max(shorter)), weights=images, color=color)
        problems = (
            f"{len(inspection.corrupt):,} corrupt, {counted(inspection.same_pixels.num_superfluous, 'duplicate')}"
        )
        sides.set(xlabel="shorter side, pixels", ylabel="images", title=f"{counted(sum(images), 'image')}, {problems}")
        for axes in (people, sides):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        figure.suptitle(name)
        figure.savefig(path, format=file_format)


def _edges(low: float, high: float) -> list[float]:
    """The edges of at most 40 bins for whole numbers."""
    step = max(1, int(np.ceil((high - low + 1) / _BINS)))
    return [edge - 0.5 for edge in range(int(low), int(high) + step + 1, step)]
