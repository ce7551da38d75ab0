"""A protocol's figures as a table for the terminal."""

import math

from facemargin.counting import counted
from facemargin.evaluation.protocols.figures import protocol_figures
from facemargin.evaluation.protocols.gallery import GALLERY_WORDS
from facemargin.evaluation.protocols.protocol_result import ProtocolResult
from facemargin.evaluation.table import NOT_AVAILABLE
from facemargin.tables import Table


def protocol_table(result: ProtocolResult) -> Table:
    """One row a figure: its name, its value in percent, and what stands behind it."""
    table = Table(result.protocol, result.system, "stands on")
    table.columns[1].justify = "right"
    for figure in protocol_figures(result):
        table.add_row(figure.name, NOT_AVAILABLE if math.isnan(figure.value) else f"{figure.value:.2%}", figure.behind)
    return table


def protocol_settings(result: ProtocolResult) -> str:
    """What was scored, and what the figures depend on beside the model, in one line."""
    templates = f" in {counted(result.templates, 'template')}, pooled as {result.preset}" if result.templates else ""
    parts = [f"{counted(result.images, 'image')}{templates}", f"thresholds: {result.rule}", f"views: {result.views}"]
    ways = dict.fromkeys(GALLERY_WORDS[one.candidates] for one in result.searches)
    parts += [f"gallery: {way}" for way in ways]
    if result.unreadable:
        parts.append(
            f"{counted(result.unreadable, 'image')} unreadable, {result.failed:,} without any other: they match nobody"
        )
    return "; ".join([*parts, *result.notes])
