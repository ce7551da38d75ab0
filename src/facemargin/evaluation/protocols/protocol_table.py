"""A protocol's figures as a table for the terminal."""

import math

from facemargin.counting import counted
from facemargin.evaluation.number_format import NOT_AVAILABLE, rate_text
from facemargin.evaluation.protocols.figures import protocol_figures
from facemargin.evaluation.protocols.gallery import GALLERY_WORDS
from facemargin.evaluation.protocols.protocol_result import ProtocolResult
from facemargin.tables import Table


def protocol_table(result: ProtocolResult) -> Table:
    """One row per figure: its name, its value in percent, and what it rests on."""
    table = Table(result.protocol, result.system, "stands on")
    table.columns[1].justify = "right"
    for figure in protocol_figures(result):
        table.add_row(
            figure.name, NOT_AVAILABLE if math.isnan(figure.value) else rate_text(figure.value), figure.behind
        )
    return table


def protocol_settings(result: ProtocolResult) -> str:
    """One line that says what was scored, and which settings besides the model the figures depend on."""
    templates = f" in {counted(result.templates, 'template')}, pooled as {result.preset}" if result.templates else ""
    parts = [f"{counted(result.images, 'image')}{templates}", f"thresholds: {result.rule}", f"views: {result.views}"]
    ways = dict.fromkeys(GALLERY_WORDS[search.candidates] for search in result.searches)
    parts += [f"gallery: {way}" for way in ways]
    if result.unreadable:
        parts.append(
            f"{counted(result.unreadable, 'image')} unreadable ({result.failed:,} without any readable image "
            "match nobody)"
        )
    return "; ".join([*parts, *result.notes])
