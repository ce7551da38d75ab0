"""The picture that `facemargin data inspect --picture` draws: how many images people have, how large these are, and
some of the faces. Shapes: C identities, N images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.plane import Plane
from facemargin.counting import counted
from facemargin.data.findings import NOISE
from facemargin.data.inspection import Inspection
from facemargin.data.source import LabeledImages
from facemargin.errors import ImageError
from facemargin.training.audited_data import FoundImages

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PICTURE_SUFFIXES = (".svg", ".png")
_BINS = 40
_FACES = 8
# A histogram whose values span more than this is drawn over their logarithms.
_WIDE = 20
_PANEL_INCHES, _ROW_INCHES = 3.2, 1.75
_FACE_SIDE = 112


@dataclass(frozen=True)
class _Face:
    index: int
    caption: str


def draw_inspection(
    inspection: Inspection,
    source: LabeledImages,
    path: Path,
    file_format: str,
    found: FoundImages | None = None,
    plane: Plane | None = None,
) -> None:
    """Draw histograms of the images per identity and of the images' shorter sides, each if there is anything to tell
    apart; the plane of norms and cosines by an audit's embeddings; and faces: of the people with the most and with the
    fewest images, and of the surest findings of an audit that an image is mislabelled, unrecognisable or without a
    face."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from facemargin.report.plane import draw_plane
    from facemargin.report.style import STYLE

    counts_C = inspection.images_per_identity_C
    shorter_N = np.repeat([min(size) for size in inspection.sizes] or [0], list(inspection.sizes.values()) or [0])
    panels = [
        ("images per identity", "identities", counts_C),
        ("shorter side, pixels", "images", shorter_N),
    ]
    panels = [panel for panel in panels if len(np.unique(panel[2])) > 1]
    rows = _face_rows(inspection, source, found)
    with mpl.rc_context(STYLE):
        drawn = bool(panels) + (plane is not None)
        figure = Figure(figsize=(9, 0.6 + _PANEL_INCHES * drawn + _ROW_INCHES * len(rows)))
        heights = [_PANEL_INCHES] * drawn + [_ROW_INCHES] * len(rows)
        parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).flat) if heights else []
        if panels:
            row = parts.pop(0).subplots(1, len(panels), squeeze=False).flat
            for axes, (xlabel, ylabel, values) in zip(row, panels, strict=True):
                _histogram(axes, values)
                axes.set(xlabel=xlabel, ylabel=ylabel)
        if plane is not None:
            part = parts.pop(0)
            shown = draw_plane(part.subplots(), *plane, None if found is None else found.kinds_of_images())
            part.legend(list(shown.values()), list(shown), loc="outside right upper")
        for part, (heading, faces) in zip(parts, rows, strict=True):
            part.suptitle(heading, x=0.01, ha="left", fontsize=9.5)
            for axes, face in zip(part.subplots(1, _FACES), [*faces, *[None] * _FACES][:_FACES], strict=True):
                _face(axes, source, face)
        figure.suptitle(_title(inspection, source, counts_C, shorter_N))
        figure.savefig(path, format=file_format)


def _title(
    inspection: Inspection, source: LabeledImages, counts_C: NDArray[np.int64], shorter_N: NDArray[np.int64]
) -> str:
    facts = [
        counted(len(shorter_N), "image"),
        counted(len(counts_C), "identity", "identities"),
        f"{len(inspection.corrupt):,} corrupt",
        counted(inspection.same_pixels.num_superfluous, "duplicate"),
    ]
    # What has no panel, because there is one value.
    if len(np.unique(counts_C)) == 1:
        facts[1] += f" of {counted(int(counts_C[0]), 'image')} each"
    if len(shorter_N) and len(np.unique(shorter_N)) == 1:
        facts[0] += f" of {int(shorter_N[0]):,} pixels"
    return f"{source.name}: {', '.join(facts)}"


def _histogram(axes: "Axes", values: NDArray[np.int64]) -> None:
    """A histogram of whole numbers, over logarithms where they span much, so that the many small and the few large can
    both be seen."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    from facemargin.report.style import COLORS

    low, high = int(values.min()), int(values.max())
    if high > _WIDE * max(low, 1):
        edges: NDArray[np.floating[Any]] = np.unique(np.geomspace(max(low, 1), high + 1, _BINS // 2).astype(int)) - 0.5
        if low == 0:
            edges = np.concatenate([[0.5 * edges[0]], edges])
            values = np.where(values == 0, 0.75 * edges[1], values)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    else:
        step = max(1, int(np.ceil((high - low + 1) / _BINS)))
        edges = np.arange(low, high + step + 1, step) - 0.5
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tallest, *_ = axes.hist(values, bins=edges.tolist(), color=COLORS[0], edgecolor="white", linewidth=0.5)
    filled = np.asarray(tallest)[np.asarray(tallest) > 0]
    if filled.max() > _WIDE * filled.min():
        axes.set_yscale("log")
        axes.set_ylim(bottom=0.7)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def _face_rows(
    inspection: Inspection, source: LabeledImages, found: FoundImages | None
) -> list[tuple[str, list[_Face]]]:
    readable_N = np.ones(len(source), bool)
    readable_N[list(inspection.corrupt)] = False
    readable_N &= source.labels >= 0
    first: dict[int, int] = {}
    for index in np.flatnonzero(readable_N).tolist():
        first.setdefault(int(source.labels[index]), index)
    counts_C = inspection.images_per_identity_C
    by_count = sorted(first, key=lambda label: (-counts_C[label], label))

    def people(labels: Sequence[int]) -> list[_Face]:
        return [_Face(first[c], f"{source.identity_names[c]}: {int(counts_C[c]):,}") for c in labels]

    rows = []
    if by_count and counts_C[by_count[0]] == counts_C[by_count[-1]]:
        rows.append(("some of the people", people(by_count[:_FACES])))
    elif by_count:
        rows.append(("the people with the most images", people(by_count[:_FACES])))
        rows.append(("the people with the fewest images", people(by_count[::-1][:_FACES])))
    if found is not None:
        suspects = sorted((one for one in found.findings if one.kind in NOISE), key=lambda finding: -finding.score)
        faces = [_Face(found.image(one), f"{one.label}: {one.kind} {one.score:.2f}") for one in suspects[:_FACES]]
        rows.append(("the audit's surest findings", faces))
    return [row for row in rows if row[1]]


def _face(axes: "Axes", source: LabeledImages, face: _Face | None) -> None:
    import cv2

    from facemargin.report.wording import short

    axes.set_axis_off()
    if face is None:
        return
    try:
        image = source.read(face.index)
    except ImageError:
        axes.set_title("cannot be read", fontsize=7)
        return
    height, width = image.shape[:2]
    scale = _FACE_SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    axes.imshow(cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST))
    axes.set_title(short(face.caption, 18), fontsize=7)
