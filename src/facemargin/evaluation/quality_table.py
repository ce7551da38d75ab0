"""A comparison of measures of quality as tables for the terminal."""

import numpy as np

from facemargin.evaluation.number_format import NOT_AVAILABLE, correlation_text, rate_text, ratio_text
from facemargin.evaluation.quality_comparison import QualityComparison
from facemargin.tables import Table


def quality_tables(comparison: QualityComparison) -> list[Table]:
    """One table per FMR: FNMR with nothing discarded and after each limit, and the partial areas relative to discarding
    at random (below 1 if the measure helps). Then the rank correlations between the measures."""
    tables = [_at_fmr(comparison, fmr) for fmr in comparison.curves]
    correlations = Table("Spearman's ρ", title=f"{comparison.dataset}: measures of quality")
    for name in comparison.measures:
        correlations.add_column(name, justify="right")
    for name, rho_M in zip(comparison.measures, comparison.spearman_MM, strict=True):
        correlations.add_row(name, *(NOT_AVAILABLE if np.isnan(rho) else correlation_text(rho) for rho in rho_M))
    return [*tables, correlations]


def _at_fmr(comparison: QualityComparison, fmr: float) -> Table:
    refit = ", threshold chosen again on the remaining pairs" if comparison.refit else ""
    table = Table(
        "quality",
        title=f"{comparison.dataset}, FMR {fmr:g}{refit}",
        caption=f"FNMR of the remaining pairs; pAUC relative to discarding at random. {comparison.caution(fmr)}",
    )
    curves = comparison.curves[fmr]
    limits = [figures.limit for figures in next(iter(curves.values())).limits]
    for heading in ["FNMR", *(f"{limit:.0%} off" for limit in limits), *(f"pAUC {limit:.0%}" for limit in limits)]:
        table.add_column(heading, justify="right")
    for name, curve in curves.items():
        left = [NOT_AVAILABLE if np.isnan(figures.fnmr) else rate_text(figures.fnmr) for figures in curve.limits]
        areas = [
            NOT_AVAILABLE if np.isnan(figures.relative_to_start) else ratio_text(figures.relative_to_start)
            for figures in curve.limits
        ]
        table.add_row(name, rate_text(float(curve.fnmr_T[0])), *left, *areas)
    return table
