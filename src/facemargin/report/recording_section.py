"""The part of a report about the recording of a training: how the set was learned, and what stayed hard.

Shapes: N samples, S intervals of steps, Q bands.
"""

from collections.abc import Iterator

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from facemargin.counting import counted
from facemargin.recording.learning import Learning
from facemargin.report.blocks import Block, Cell, FigureBlock, Heading, Notes, Table, TableBlock
from facemargin.report.figure_data import data_label
from facemargin.report.plane import draw_plane
from facemargin.report.style import STYLE, legend_above, line_styles, new_axes
from facemargin.report.wording import percent


def recording_blocks(found: Learning) -> Iterator[Block]:
    """The blocks of a recording."""
    yield Heading("How the set was learned")
    yield FigureBlock(
        "recording-learning",
        "Cosine to the own centre, by quality",
        _learning_figure(found),
        "Mean cosine between an image and the centre of its person, for equal parts of the images by their quality "
        "(the mean length of their feature in the later half). A part that stays low is one that is not learned.",
    )
    told_N = np.isfinite(found.norm_N) & np.isfinite(found.gap_N)
    if told_N.any():
        nearer = int((found.gap_N[told_N] < 0).sum())
        if found.kind_N is None:
            audited = " facemargin report --audit marks what an audit found."
        else:
            marked = int((found.kind_N[told_N] != "").sum())
            audited = (
                f" Marked {'is' if marked == 1 else 'are'} {marked:,} that an audit found with a score of .5 or more."
            )
        yield FigureBlock(
            "recording-plane",
            "Every image at the end",
            _plane_figure(found),
            f"Each point is an image, its means over the later half of the steps; {nearer:,} of "
            f"{counted(int(told_N.sum()), 'image')} are nearer to another person's centre. A long feature at a low "
            "cosine may be a clear face under a wrong name, a short one a picture in which nobody can be recognised."
            + audited,
        )
    if found.entangled:
        yield TableBlock(
            "recording-entangled", "People who are most often taken for each other", _entangled_table(found), "People"
        )
    if found.not_finite:
        yield Notes([f"{counted(found.not_finite, 'visit')} without finite numbers left out"])


@mpl.rc_context(STYLE)
def _learning_figure(found: Learning) -> Figure:
    figure, axes = new_axes()
    bands = len(found.cosine_QS)
    ends = {0: "poorest", bands - 1: "best"}
    names = [f"{ends[band]} {percent(1 / bands)}" if band in ends else f"part {band + 1}" for band in range(bands)]
    styles = line_styles(names)
    for name, cosine_S in zip(names, found.cosine_QS, strict=True):
        told_S = np.isfinite(cosine_S)
        style = styles[name]
        axes.plot(
            found.step_S[told_S],
            cosine_S[told_S],
            color=style.color,
            linestyle=style.linestyle,
            label=data_label(name),
        )
    axes.set_xlabel("step")
    axes.set_ylabel("cosine to the own centre")
    handles = [Line2D([], [], color=style.color, linestyle=style.linestyle) for style in styles.values()]
    legend_above(figure, handles, names)
    return figure


@mpl.rc_context(STYLE)
def _plane_figure(found: Learning) -> Figure:
    figure, axes = new_axes(height=3.3)
    shown = draw_plane(axes, found.norm_N, found.cosine_N, found.gap_N, found.kind_N)
    legend_above(figure, list(shown.values()), list(shown))
    return figure


def _entangled_table(found: Learning) -> Table:
    def cell(share: float) -> Cell:
        return Cell(f"{share:.1%}", number=share)

    return Table(
        ["nearest other", "the other way", "nearer than the own"],
        [
            (f"{pair.person} – {pair.other}", [cell(pair.share), cell(pair.back), cell(pair.nearer)])
            for pair in found.entangled
        ],
    )
