"""The part of a report about one data set: its tables, its curves, and what to say about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from facemargin.errors import DataError
from facemargin.evaluation import Bootstrap, PairScores, VerificationSummary, summarise
from facemargin.evaluation.summary import DEFAULT_FARS
from facemargin.report.blocks import FigureBlock
from facemargin.report.comparison import Table, comparison_table, discard_table
from facemargin.report.content import DatasetEvaluation
from facemargin.report.discard_figures import FEW_PAIRS, discard_figure
from facemargin.report.error_rate_figures import FEW_IMPOSTORS, det_figure, roc_figure
from facemargin.report.gallery import FaceGallery
from facemargin.report.score_figures import score_figure
from facemargin.report.style import LineStyle
from facemargin.report.wording import far_text, listed, measured_rate, percent

HEADLINE_FAR = 1e-2
"""The FAR of the sentence above the table and of the threshold in the histograms."""

DISCARDED = 0.2
"""The fraction that the sentence about quality speaks of."""


@dataclass(frozen=True)
class EvaluationSection:
    """One data set's part of a report; a table or sentence that does not apply is None or empty."""

    dataset: str
    headline: str
    table: Table | None
    notes: list[str]
    figures: list[FigureBlock]
    discard_sentences: list[str]
    discard_table: Table | None
    faces: FaceGallery | None


def evaluation_section(
    evaluation: DatasetEvaluation, number: int, styles: Mapping[str, LineStyle], bootstrap: Bootstrap | None
) -> EvaluationSection:
    """Section `number` of a report. Raises DataError, naming data set and system, for scores that no metric takes."""
    if not evaluation.systems:
        return EvaluationSection(evaluation.dataset, "", None, [], [], [], None, evaluation.faces)
    summaries = [_summarise(system, bootstrap) for system in evaluation.systems]
    with_quality = [summary for summary in summaries if summary.error_versus_discard is not None]
    pairs = _pair_counts(summaries)
    figures = [*_score_blocks(evaluation.systems, summaries, styles, pairs, f"evaluation-{number}")]
    if with_quality:
        caption = (
            f"Error versus discard, {pairs}: the false non-match rate of the genuine pairs that are left when those of "
            "lowest quality (the lower of a pair's two) are discarded, at the threshold of "
            f"{far_text(HEADLINE_FAR)}. A quality worth having bends the curve below the dotted line. On grey, fewer "
            f"than {FEW_PAIRS} pairs are left, and the curve is uncertain."
        )
        figures.append(
            FigureBlock(
                f"evaluation-{number}-discard", "Error versus discard", discard_figure(with_quality, styles), caption
            )
        )
    return EvaluationSection(
        dataset=evaluation.dataset,
        headline=_headline(summaries),
        table=comparison_table(summaries),
        notes=_notes(summaries),
        figures=figures,
        discard_sentences=[sentence for summary in summaries for sentence in _discard_sentence(summary)],
        discard_table=discard_table(with_quality) if with_quality else None,
        faces=evaluation.faces,
    )


def _summarise(system: PairScores, bootstrap: Bootstrap | None) -> VerificationSummary:
    try:
        return summarise(system, fars=DEFAULT_FARS, discard_fmr=HEADLINE_FAR, bootstrap=bootstrap)
    except DataError as error:
        raise DataError(f"data set {system.dataset!r}, system {system.system!r}: {error}") from error


def _score_blocks(
    systems: Sequence[PairScores],
    summaries: Sequence[VerificationSummary],
    styles: Mapping[str, LineStyle],
    pairs: str,
    name: str,
) -> Iterator[FigureBlock]:
    uncertain = (
        f"On grey, fewer than {FEW_IMPOSTORS} impostor pairs stand behind a FAR, and the curve there is uncertain."
    )
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
        f"Detection error trade-off, {pairs}: the share of genuine pairs rejected (FNMR = 1 − TAR) against the FAR, "
        "both on log axes. Lower is better; where a curve crosses the dotted line it has its equal error rate. "
        f"{uncertain}",
    )
    thresholds = [_threshold(summary) for summary in summaries]
    yield FigureBlock(
        f"{name}-scores",
        "Score distributions",
        score_figure(systems, thresholds, f"threshold, {far_text(HEADLINE_FAR)}", styles),
        f"Scores of {pairs}, each kind adding up to 100%: the less the filled and the outlined shape overlap, the "
        f"better. Pairs right of the dashed threshold are accepted, {percent(HEADLINE_FAR)} of the impostors or fewer.",
    )


def _threshold(summary: VerificationSummary) -> float:
    return next(point.threshold for point in summary.tar_at_far.points if point.target_far == HEADLINE_FAR)


def _pair_counts(summaries: Sequence[VerificationSummary]) -> str:
    counts = list(dict.fromkeys((summary.genuine, summary.impostors) for summary in summaries))
    texts = [f"{genuine:,} genuine and {impostors:,} impostor pairs" for genuine, impostors in counts]
    return texts[0] if len(texts) == 1 else f"{listed(texts)}, depending on the system"


def _headline(summaries: Sequence[VerificationSummary]) -> str:
    first, *others = summaries
    tars = {s.system: measured_rate(s.tar_at_far.tar[HEADLINE_FAR], s.genuine) for s in summaries}
    compared = f" ({listed([f'{other.system} {tars[other.system]}' for other in others])})" if others else ""
    return (
        f"At {far_text(HEADLINE_FAR)}, {first.system} accepts {tars[first.system]} of the genuine pairs{compared}. "
        f"The test has {_pair_counts(summaries)}."
    )


def _notes(summaries: Sequence[VerificationSummary]) -> list[str]:
    notes = []
    if any(summary.balanced_accuracy.interval for summary in summaries):
        notes.append("Ranges are 95% bootstrap intervals over identities.")
    if len(summaries) > 1:
        notes.append("The best value of each column is bold.")
    for far in sorted(DEFAULT_FARS, reverse=True):
        points = [point for s in summaries for point in s.tar_at_far.points if point.target_far == far]
        accepted = max(point.impostors_accepted for point in points)
        if accepted < FEW_IMPOSTORS:
            notes.append(
                f"TAR at {far_text(far)} rests on {accepted} wrongly accepted impostor "
                f"{'pair' if accepted == 1 else 'pairs'} at most, so it is uncertain."
            )
    notes.append("The threshold of the best balanced accuracy is chosen on the pairs themselves.")
    return notes


def _discard_sentence(summary: VerificationSummary) -> Iterator[str]:
    curve = summary.error_versus_discard
    if curve is None:
        return
    limit = next(limit for limit in curve.limits if limit.limit == DISCARDED)
    before, after = (measured_rate(fnmr, summary.genuine) for fnmr in (curve.fnmr_T[0], limit.fnmr))
    verb = "lowers" if limit.fnmr < curve.fnmr_T[0] else "raises"
    change = (
        f"leaves its false non-match rate at {before}"
        if before == after
        else f"{verb} its false non-match rate from {before} to {after}"
    )
    certainty = ""
    if limit.fnmr_interval:
        low, high = (measured_rate(fnmr, summary.genuine) for fnmr in limit.fnmr_interval)
        certainty = f" (95% interval {low} to {high})"
    yield (
        f"{summary.system}: discarding the {percent(DISCARDED)} of genuine pairs with the lowest quality {change}"
        f"{certainty}, at the threshold of {far_text(HEADLINE_FAR)}."
    )
