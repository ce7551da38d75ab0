"""Every figure of one system on one set of pairs, for tables, reports and files."""

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


@dataclass(frozen=True)
class VerificationSummary:
    """The figures of one `PairScores`: accuracy where it has folds, error versus discard where it has qualities, and
    bootstrap intervals in each where it has identities, of so many `people`. `accuracy_by` says how the accuracy's
    thresholds were chosen. `others`: of registered metrics (`register_metric`), by name."""

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

    def to_dict(self) -> dict[str, Any]:
        """The same as nested dicts, lists, numbers and None (for what is not finite), curves included."""
        figures: dict[str, Any] = plain(self)
        others = figures.pop("others")
        return figures | {name: {"value": one["value"], "interval": one["interval"]} for name, one in others.items()}

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

    `folds` (as in `verification_accuracy`) replaces the pair scores' own. Without either there is no accuracy, and none
    where the own folds are a single one: no other could choose its threshold.
    `discard_fmr` is the FMR that error versus discard starts at. `bootstrap` None leaves the intervals out, as does a
    set without identities. Raises what the metrics raise.
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
    """Why figures of these systems, whose people are known, have no interval; empty where all have one."""
    lacking = [summary for summary in summaries if summary.people is not None and None in _intervals(summary)]
    if not lacking:
        return ""
    few = min(summary.people for summary in lacking if summary.people is not None)
    if few < FEWEST_IDENTITIES:
        return f"The {few} people here are too few for intervals: every resample of them holds the same pairs."
    return (
        "A figure without a range has the same value in all resamples, as at 0 and 100%: that does not make it certain."
    )


def _intervals(summary: VerificationSummary) -> list[Interval | None]:
    """Of the figures that tables show."""
    metrics = [metric for metric in list_metrics(Scope.of([summary])) if metric.row and metric.has_range]
    measured = [metric.of(summary) for metric in metrics]
    return [one.interval for one in measured if one is not None and not np.isnan(one.value)]


def _num_people(pair_scores: PairScores) -> int | None:
    if pair_scores.identities_a_K is None or pair_scores.identities_b_K is None:
        return None
    return len(np.unique(np.concatenate([pair_scores.identities_a_K, pair_scores.identities_b_K])))
