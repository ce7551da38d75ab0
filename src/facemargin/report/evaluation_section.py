"""The part of a report about one data set: tables, curves, and sentences about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from facemargin.errors import DataError
from facemargin.evaluation import Bootstrap, PairScores, VerificationSummary, summarize
from facemargin.evaluation.figures import DEFAULT_FARS
from facemargin.evaluation.system_differences import SystemDifferences, system_differences
from facemargin.report.blocks import Block, FigureBlock, Table
from facemargin.report.comparison import comparison_table, discard_table
from facemargin.report.content import DatasetEvaluation, is_baseline
from facemargin.report.decision_gallery import DecisionGallery
from facemargin.report.discard_figures import FEW_PAIRS, discard_figure
from facemargin.report.error_rate_figures import FEW_IMPOSTORS, det_figure, roc_figure
from facemargin.report.findings import HEADLINE_FAR, discard_sentence, headline, pair_counts, table_notes
from facemargin.report.gallery import FaceGallery
from facemargin.report.groups_section import groups_blocks
from facemargin.report.quality_section import QualitySection, quality_section
from facemargin.report.reconstruction_gallery import ReconstructionGallery
from facemargin.report.score_figures import score_figure
from facemargin.report.style import LineStyle
from facemargin.report.wording import far_text, percent

_UNTESTED = SystemDifferences((), ())


@dataclass(frozen=True)
class EvaluationSection:
    """The section of one data set. A table or sentence that does not apply is None or empty. `summaries` and `tested`
    are what its tables were made from."""

    dataset: str
    headline: str = ""
    table: Table | None = None
    notes: list[str] = field(default_factory=list)
    figures: list[FigureBlock] = field(default_factory=list)
    discard_sentences: list[str] = field(default_factory=list)
    discard_table: Table | None = None
    faces: FaceGallery | None = None
    reconstructions: ReconstructionGallery | None = None
    quality: QualitySection | None = None
    decisions: DecisionGallery | None = None
    groups: list[Block] = field(default_factory=list)
    summaries: list[VerificationSummary] = field(default_factory=list)
    tested: SystemDifferences = _UNTESTED


def evaluation_section(
    evaluation: DatasetEvaluation, number: int, styles: Mapping[str, LineStyle], bootstrap: Bootstrap | None
) -> EvaluationSection:
    """Section `number` of a report. Raises DataError, which names data set and system, for scores that the metrics do
    not accept."""
    if not evaluation.systems:
        return EvaluationSection(
            evaluation.dataset,
            faces=evaluation.faces,
            reconstructions=evaluation.reconstructions,
            decisions=evaluation.decisions,
        )
    summaries = [summarize_system(system, bootstrap) for system in evaluation.systems]
    with_quality = [summary for summary in summaries if summary.error_versus_discard is not None]
    pairs = pair_counts(summaries)
    figures = [*_score_blocks(evaluation.systems, summaries, styles, pairs, f"evaluation-{number}")]
    if with_quality:
        figures.append(
            FigureBlock(
                f"evaluation-{number}-discard",
                "Error versus discard",
                discard_figure(with_quality, styles),
                discard_caption(pairs),
            )
        )
    models = [system for system in evaluation.systems if not is_baseline(system)]
    differences = _differences(models, bootstrap)
    return EvaluationSection(
        dataset=evaluation.dataset,
        headline=headline(summaries),
        table=comparison_table(summaries),
        notes=table_notes(summaries, bootstrap),
        figures=figures,
        discard_sentences=[
            discard_sentence(summary.system, summary.error_versus_discard, summary.genuine, bootstrap)
            for summary in summaries
            if summary.error_versus_discard is not None
        ],
        discard_table=discard_table(with_quality) if with_quality else None,
        faces=evaluation.faces,
        reconstructions=evaluation.reconstructions,
        quality=None if evaluation.quality is None else quality_section(evaluation.quality, number),
        decisions=evaluation.decisions,
        groups=[] if evaluation.groups is None else groups_blocks(models, evaluation.groups, number),
        summaries=summaries,
        tested=differences,
    )


def _differences(systems: Sequence[PairScores], bootstrap: Bootstrap | None) -> SystemDifferences:
    return _UNTESTED if bootstrap is None else system_differences(systems, DEFAULT_FARS, bootstrap)


def discard_caption(pairs: str) -> str:
    """What an error-versus-discard figure of `pairs` ("450 genuine pairs …") shows."""
    return (
        f"Error versus discard, {pairs}: the false non-match rate of the genuine pairs that are left when "
        "those of lowest quality (the lower of a pair's two) are discarded, at the threshold of "
        f"{far_text(HEADLINE_FAR)}. If the quality is useful, the curve falls below the dotted line. On grey, "
        f"fewer than {FEW_PAIRS} pairs are left, and the curve is uncertain."
    )


def summarize_system(system: PairScores, bootstrap: Bootstrap | None) -> VerificationSummary:
    """The figures that the report shows. Raises DataError, which names data set and system, for scores that the metrics
    do not accept."""
    try:
        return summarize(system, fars=DEFAULT_FARS, discard_fmr=HEADLINE_FAR, bootstrap=bootstrap)
    except DataError as error:
        raise DataError(f"data set {system.dataset!r}, system {system.system!r}: {error}") from error


def _score_blocks(
    systems: Sequence[PairScores],
    summaries: Sequence[VerificationSummary],
    styles: Mapping[str, LineStyle],
    pairs: str,
    name: str,
) -> Iterator[FigureBlock]:
    uncertain = f"On grey, a FAR rests on fewer than {FEW_IMPOSTORS} impostor pairs, and the curve is uncertain."
    yield FigureBlock(
        f"{name}-roc",
        "ROC",
        roc_figure(summaries, styles),
        f"Receiver operating characteristic, {pairs}: the share of genuine pairs accepted (TAR) at each share of "
        f"impostor pairs wrongly accepted (FAR, log axis). Higher is better. {uncertain}",
    )
    yield FigureBlock(
        f"{name}-det",
        "DET",
        det_figure(summaries, styles),
        f"Detection error trade-off, {pairs}: the share of genuine pairs rejected (FNMR = 1 − TAR) against the "
        "FAR, both on log axes. Lower is better. A curve crosses the dotted line at its equal error rate. "
        f"{uncertain}",
    )
    thresholds = [_threshold(summary) for summary in summaries]
    yield FigureBlock(
        f"{name}-scores",
        "Score distributions",
        score_figure(systems, thresholds, f"threshold, {far_text(HEADLINE_FAR)}", styles),
        f"Scores of {pairs}, each kind adding up to 100%. The less the filled and the outlined shape overlap, the "
        "better. Pairs to the right of the dashed threshold are accepted; these are at most "
        f"{percent(HEADLINE_FAR)} of the impostor pairs.",
    )


def _threshold(summary: VerificationSummary) -> float:
    return next(point.threshold for point in summary.tar_at_far.points if point.target_far == HEADLINE_FAR)
