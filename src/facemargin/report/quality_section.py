"""The part of a report that compares measures of quality on one data set."""

from dataclasses import dataclass

import numpy as np

from facemargin.evaluation.number_format import correlation_text
from facemargin.evaluation.quality_comparison import QualityComparison, QualityMeasures, compare_quality
from facemargin.report.blocks import Cell, FigureBlock, Table
from facemargin.report.comparison import measures_table
from facemargin.report.discard_figures import measures_figure
from facemargin.report.wording import percent


@dataclass(frozen=True)
class QualitySection:
    """Tables by heading, figures and notes."""

    tables: list[tuple[str, Table]]
    figures: list[FigureBlock]
    notes: list[str]


def quality_section(measures: QualityMeasures, number: int) -> QualitySection:
    """The section of the measures that were compared on data set `number` of the report."""
    comparison = compare_quality(measures)
    genuine = int(np.count_nonzero(measures.same_K))
    tables = [(f"Quality measures at FMR {percent(fmr)}", measures_table(comparison, fmr)) for fmr in comparison.curves]
    if len(comparison.measures) > 1:
        tables.append(("Spearman correlation of the measures over the images", _correlations(comparison)))
    figures = [_figure(comparison, fmr, genuine, number) for fmr in comparison.curves]
    return QualitySection(tables, figures, _notes(comparison))


def _figure(comparison: QualityComparison, fmr: float, genuine: int, number: int) -> FigureBlock:
    caption = (
        f"The false non-match rate of {comparison.system} on the genuine pairs that are left when those of lowest "
        f"quality by each measure are discarded, at the threshold of FMR {percent(fmr)}. Lower is better."
    )
    name = f"evaluation-{number}-measures-{f'{fmr:g}'.replace('.', '-')}"
    title = f"Error versus discard, FMR {percent(fmr)}"
    return FigureBlock(name, title, measures_figure(comparison, fmr, genuine), caption)


def _correlations(comparison: QualityComparison) -> Table:
    rows = [
        (name, [Cell("–") if np.isnan(rho) else Cell(correlation_text(rho), number=float(rho)) for rho in rho_M])
        for name, rho_M in zip(comparison.measures, comparison.spearman_MM, strict=True)
    ]
    return Table(comparison.measures, rows)


def _notes(comparison: QualityComparison) -> list[str]:
    notes = [
        "pAUC: area under the curve up to that fraction, relative to discarding at random; below 1, quality helps."
    ]
    if comparison.refit:
        notes.append(
            "At every discarded fraction, the threshold is chosen again on the remaining pairs, at the same FMR."
        )
    return notes + [caution for fmr in comparison.curves if (caution := comparison.caution(fmr))]
