"""The findings of an evaluation, as sentences computed from its figures."""

from collections.abc import Sequence

from facemargin.evaluation import Bootstrap, ErrorVersusDiscard, VerificationSummary
from facemargin.evaluation.metrics.sorted_scores import allowed_count
from facemargin.evaluation.number_format import measured_rate
from facemargin.evaluation.summary import without_interval
from facemargin.report.error_rate_figures import FEW_IMPOSTORS
from facemargin.report.wording import far_text, listed, percent

HEADLINE_FAR = 1e-2
"""The FAR of the sentence above the table, of the threshold in the histograms, and of the error-versus-discard
curves."""

DISCARDED = 0.2
"""The discarded fraction in the sentence about quality."""


def pair_counts(summaries: Sequence[VerificationSummary]) -> str:
    """The number of pairs of each kind in the test."""
    counts = dict.fromkeys((summary.genuine, summary.impostors) for summary in summaries)
    texts = [f"{genuine:,} genuine and {impostors:,} impostor pairs" for genuine, impostors in counts]
    return texts[0] if len(texts) == 1 else f"{listed(texts)}, depending on the system"


def headline(summaries: Sequence[VerificationSummary]) -> str:
    """The TAR of the first system at `HEADLINE_FAR`, with those of the others for comparison."""
    tars = {s.system: measured_rate(s.tar_at_far.tar[HEADLINE_FAR], s.genuine) for s in summaries}
    first, *others = tars
    compared = f" ({listed([f'{other} {tars[other]}' for other in others])})" if others else ""
    return (
        f"At {far_text(HEADLINE_FAR)}, {first} accepts {tars[first]} of the genuine pairs{compared}. "
        f"The test has {pair_counts(summaries)}."
    )


def table_notes(summaries: Sequence[VerificationSummary], bootstrap: Bootstrap | None) -> list[str]:
    """Notes on how to read the table of these systems, and on numbers that rest on few pairs."""
    notes = []
    if bootstrap and any(summary.balanced_accuracy.interval or summary.roc.auc_interval for summary in summaries):
        notes.append(
            f"Ranges are {percent(bootstrap.confidence)} bootstrap intervals over identities; with few identities "
            "or few errors, they are too narrow."
        )
    if bootstrap and (reason := without_interval(summaries)):
        notes.append(reason)
    if len(summaries) > 1:
        notes.append("The best value of each column is bold.")
    for points in zip(*(summary.tar_at_far.points for summary in summaries), strict=True):
        accepted = max(point.impostors_accepted for point in points)
        far = points[0].target_far
        if not all(allowed_count(far, point.impostors) for point in points):
            notes.append(
                f"TAR at {far_text(far)} rests on no accepted impostor pair, because "
                f"{min(point.impostors for point in points):,} impostor pairs are too few for this FAR. It is "
                "uncertain, and no system is marked as the best."
            )
        elif accepted < FEW_IMPOSTORS:
            notes.append(
                f"TAR at {far_text(far)} rests on {accepted} wrongly accepted impostor "
                f"{'pair' if accepted == 1 else 'pairs'} at most, so it is uncertain."
            )
    notes.append("The threshold of the best balanced accuracy is chosen on the same pairs that it is tested on.")
    return notes


def discard_sentence(system: str, curve: ErrorVersusDiscard, genuine: int, bootstrap: Bootstrap | None) -> str:
    """The effect of discarding the lowest qualities on the FNMR of a system, measured on `genuine` pairs."""
    limit = next(limit for limit in curve.limits if limit.limit == DISCARDED)
    before, after = (measured_rate(fnmr, genuine) for fnmr in (curve.fnmr_T[0], limit.fnmr))
    verb = "lowers" if limit.fnmr < curve.fnmr_T[0] else "raises"
    rate = "its false non-match rate"
    change = f"leaves {rate} at {before}" if before == after else f"{verb} {rate} from {before} to {after}"
    certainty = ""
    if bootstrap and limit.fnmr_interval:
        low, high = (measured_rate(fnmr, genuine) for fnmr in limit.fnmr_interval)
        certainty = f" ({percent(bootstrap.confidence)} interval after discarding: {low} to {high})"
    return (
        f"{system}: discarding the {percent(DISCARDED)} of genuine pairs with the lowest quality "
        f"{change}{certainty}, at the threshold of {far_text(HEADLINE_FAR)}."
    )
