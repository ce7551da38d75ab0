"""All figures of one system on one set of pairs, for tables, reports and files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from facemargin.evaluation.figures import (
    DEFAULT_FARS,
    EXACT_THRESHOLDS,
    Measured,
    Scope,
    compute_others,
    list_metrics,
)
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, FEWEST_IDENTITIES, Bootstrap, Interval
from facemargin.evaluation.metrics.error_versus_discard import ErrorVersusDiscard, error_versus_discard
from facemargin.evaluation.metrics.roc import RocCurve, roc_curve
from facemargin.evaluation.metrics.tar_at_far import FarRule, TarAtFar, tar_at_far
from facemargin.evaluation.metrics.verification import (
    BestBalancedAccuracy,
    VerificationAccuracy,
    best_balanced_accuracy,
    verification_accuracy,
)
from facemargin.evaluation.plain import plain
from facemargin.evaluation.scores import PairScores

INSIGHTFACE_GRID = "InsightFace's grid"
MAGFACE_SCRIPT = "MagFace's script: features less their mean, angles"


@dataclass(frozen=True, repr=False)
class VerificationSummary:
    """The figures of one `PairScores`: accuracy if it has folds, error versus discard if it has qualities, and
    bootstrap intervals if it has identities. `people` is the number of identities. `accuracy_by` says how the
    thresholds of the accuracy were chosen. `others`: of registered metrics (`register_metric`), by name.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-4")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:5-6"), size=16)
        >>> summary = fm.evaluation.summarize(fm.evaluation.evaluate_verification(embed, pairs, "pixels"),
        ...     bootstrap=None)
        >>> summary.genuine, summary.impostors, summary.roc.auc > 0.7
        (180, 600, True)
        >>> summary
        VerificationSummary('pixels' on 'orl:1-4': 180 genuine and 600 impostor pairs, AUC 0.8944, EER 0.1867)
    """

    system: str
    dataset: str
    genuine: int
    impostors: int
    accuracy: VerificationAccuracy | None
    balanced_accuracy: BestBalancedAccuracy
    tar_at_far: TarAtFar
    roc: RocCurve
    error_versus_discard: ErrorVersusDiscard | None
    people: int | None = None
    accuracy_by: str = EXACT_THRESHOLDS
    others: Mapping[str, Measured] = field(default_factory=dict)

    def __repr__(self) -> str:
        pairs = f"{self.genuine:,} genuine and {self.impostors:,} impostor pairs"
        figures = f"AUC {self.roc.auc:.4g}, EER {self.roc.eer:.4g}"
        return f"VerificationSummary({self.system!r} on {self.dataset!r}: {pairs}, {figures})"

    def to_dict(self) -> dict[str, Any]:
        """The figures and curves as nested dicts, lists, numbers and None (for numbers that are not finite)."""
        figures: dict[str, Any] = plain(self)
        others = figures.pop("others")
        return figures | {
            name: {"value": number["value"], "interval": number["interval"]} for name, number in others.items()
        }

    def to_json(self) -> str:
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)


def summarize(
    pair_scores: PairScores,
    fars: Sequence[float] = DEFAULT_FARS,
    far_rule: FarRule = "at_most",
    folds: int | ArrayLike | None = None,
    grid: Literal["insightface"] | None = None,
    discard_fmr: float = 1e-2,
    bootstrap: Bootstrap | None = DEFAULT_BOOTSTRAP,
) -> VerificationSummary:
    """Compute every metric that `pair_scores` allows.

    `folds` (as in `verification_accuracy`) replaces the folds of the pair scores. There is no accuracy without folds,
    or if the pair scores have a single fold, because a threshold must be chosen on other folds. `discard_fmr` is the
    FMR at which error versus discard starts. Intervals are left out if `bootstrap` is None or the set has no
    identities. Raises the errors of the metrics.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-4")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:5-6"), size=16)
        >>> scores = fm.evaluation.evaluate_verification(embed, pairs, "pixels")
        >>> summary = fm.evaluation.summarize(scores, bootstrap=None)
        >>> summary.genuine, summary.impostors
        (180, 600)
    """
    scores_K, same_K = pair_scores.scores_K, pair_scores.same_K
    identities: dict[str, Any] = {}
    if bootstrap is not None:
        identities = {
            "identities_a": pair_scores.identities_a_K,
            "identities_b": pair_scores.identities_b_K,
            "bootstrap": bootstrap,
        }
    quality_a_K, quality_b_K = pair_scores.quality_a_K, pair_scores.quality_b_K
    if folds is None and pair_scores.folds_K is not None and len(np.unique(pair_scores.folds_K)) > 1:
        folds = pair_scores.folds_K
    accuracy = None if folds is None else verification_accuracy(scores_K, same_K, folds, grid, **identities)
    discard = None
    if quality_a_K is not None and quality_b_K is not None:
        discard = error_versus_discard(scores_K, same_K, quality_a_K, quality_b_K, discard_fmr, **identities)
    return VerificationSummary(
        system=pair_scores.system,
        dataset=pair_scores.dataset,
        genuine=int(np.count_nonzero(same_K)),
        impostors=int(np.count_nonzero(~same_K)),
        accuracy=accuracy,
        balanced_accuracy=best_balanced_accuracy(scores_K, same_K, **identities),
        tar_at_far=tar_at_far(scores_K, same_K, fars, far_rule, **identities),
        roc=roc_curve(scores_K, same_K, **identities),
        error_versus_discard=discard,
        people=_num_people(pair_scores) if bootstrap is not None else None,
        accuracy_by=EXACT_THRESHOLDS if grid is None else INSIGHTFACE_GRID,
        others=compute_others(pair_scores, bootstrap),
    )


def without_interval(summaries: Sequence[VerificationSummary]) -> str:
    """The reason why some figures of systems with known identities have no interval; empty if all have one."""
    lacking = [summary for summary in summaries if summary.people is not None and None in _intervals(summary)]
    if not lacking:
        return ""
    few = min(summary.people for summary in lacking if summary.people is not None)
    if few < FEWEST_IDENTITIES:
        return f"There are {few} people, which is too few for intervals: every resample of them has the same pairs."
    return (
        "A figure without a range has the same value in all resamples (for example 0 or 100%), which does not "
        "mean that it is certain."
    )


def _intervals(summary: VerificationSummary) -> list[Interval | None]:
    """The intervals of the figures that tables show."""
    metrics = [metric for metric in list_metrics(Scope.of([summary])) if metric.row and metric.has_range]
    measured = [metric.of(summary) for metric in metrics]
    return [number.interval for number in measured if number is not None and not np.isnan(number.value)]


def _num_people(pair_scores: PairScores) -> int | None:
    if pair_scores.identities_a_K is None or pair_scores.identities_b_K is None:
        return None
    return len(np.unique(np.concatenate([pair_scores.identities_a_K, pair_scores.identities_b_K])))
