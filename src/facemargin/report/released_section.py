"""The part of a report about a released recogniser, in short: figures of every set, decisions, and its quality."""

from dataclasses import dataclass, replace

from facemargin.evaluation import Bootstrap, VerificationSummary
from facemargin.report.blocks import FigureBlock, Table
from facemargin.report.checked_section import CheckedSection, checked_section
from facemargin.report.comparison import comparison_table
from facemargin.report.content import ReportContent
from facemargin.report.decision_gallery import DecisionGallery
from facemargin.report.discard_figures import discard_figure
from facemargin.report.evaluation_section import discard_caption, summarize_system
from facemargin.report.findings import discard_sentence, pair_counts, table_notes
from facemargin.report.style import line_styles


@dataclass(frozen=True)
class ReleasedSection:
    """Its name, sentences on what it is, one row of figures per set, and what the sets have of decisions, checks of
    quality and errors."""

    system: str
    about: list[str]
    table: Table
    notes: list[str]
    decisions: list[DecisionGallery]
    checks: list[CheckedSection]
    discard_sentences: list[str]
    figures: list[FigureBlock]


def released_section(content: ReportContent, bootstrap: Bootstrap | None) -> ReleasedSection | None:
    """The section of `content`, the evaluation of the released recogniser; None if it has no scores. Raises the errors
    of `evaluation_section`."""
    evaluations = [evaluation for evaluation in content.evaluations if evaluation.systems]
    if not evaluations:
        return None
    system = evaluations[0].systems[0].system
    summaries = [summarize_system(evaluation.systems[0], bootstrap) for evaluation in evaluations]
    erring = [(number, summary) for number, summary in enumerate(summaries, start=1) if _errs(summary)]
    return ReleasedSection(
        system=system,
        about=content.summary,
        table=_by_set(summaries),
        notes=list(dict.fromkeys(note for summary in summaries for note in table_notes([summary], bootstrap))),
        decisions=[evaluation.decisions for evaluation in evaluations if evaluation.decisions],
        checks=[section for one in evaluations if (section := checked_section(content.quality_check, one))],
        discard_sentences=[
            discard_sentence(summary.system, summary.error_versus_discard, summary.genuine, bootstrap)
            for _, summary in erring
            if summary.error_versus_discard
        ],
        figures=[
            FigureBlock(
                f"released-{number}-discard",
                f"Error versus discard on {summary.dataset}",
                discard_figure([summary], line_styles([system])),
                discard_caption(pair_counts([summary])),
            )
            for number, summary in erring
        ],
    )


def _errs(summary: VerificationSummary) -> bool:
    """Whether it has qualities, and errors that they may avoid."""
    return summary.error_versus_discard is not None and summary.error_versus_discard.fnmr_T[0] > 0


def _by_set(summaries: list[VerificationSummary]) -> Table:
    """The table of systems, with a row for every set instead; none is the best of them."""
    table = comparison_table([replace(summary, system=summary.dataset) for summary in summaries])
    return Table(table.headings, [(name, [replace(cell, best=False) for cell in cells]) for name, cells in table.rows])
