"""What replays of one recording under several margins have in common and not. Shapes: V visits, N samples, Q bands."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facemargin.errors import ConfigError
from facemargin.recording.reader import Recording
from facemargin.recording.replay import Replay

LOSS_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class ReplaySummary:
    """A margin's losses and where its gradient goes, over the visits of some steps.

    `loss_quantiles` are at `LOSS_QUANTILES`. `band_shares` (Q,) are the shares of the gradient, which sum to 1, of the
    bands of `bands_of_norm`, that of the shortest features first. `suspect_share` is that of the suspects' visits; None
    where no suspects are given.
    """

    mean_loss: float
    loss_quantiles: tuple[float, ...]
    band_shares: tuple[float, ...]
    suspect_share: float | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ReplayedVisits:
    """The visits that summaries are of: those of the steps `first_step` to `last_step`, in `bands` of equal size by the
    norm of their feature, which is what the image's quality was at that time."""

    first_step: int
    last_step: int
    chosen_V: NDArray[np.bool_]
    band_V: NDArray[np.int64]
    bands: int
    suspect_V: NDArray[np.bool_] | None

    @property
    def count(self) -> int:
        return int(self.chosen_V.sum())

    @property
    def suspect_visits(self) -> float | None:
        """The suspects' share of the visits."""
        return None if self.suspect_V is None else float(self.suspect_V[self.chosen_V].mean())

    def summarize(self, replayed: Replay) -> ReplaySummary:
        """The summary of a replay of the same recording."""
        loss_V = replayed.loss_V[self.chosen_V]
        finite_V = loss_V[np.isfinite(loss_V)]
        empty = not len(finite_V)
        quantiles = [float("nan")] * len(LOSS_QUANTILES) if empty else np.quantile(finite_V, LOSS_QUANTILES).tolist()

        def share(where_V: NDArray[np.bool_]) -> float:
            return replayed.gradient_share(where_V & self.chosen_V, self.chosen_V)

        return ReplaySummary(
            mean_loss=float("nan") if empty else float(finite_V.mean()),
            loss_quantiles=tuple(quantiles),
            band_shares=tuple(share(self.band_V == band) for band in range(self.bands)),
            suspect_share=None if self.suspect_V is None else share(self.suspect_V),
            notes=tuple(replayed.notes),
        )


def replayed_visits(
    recording: Recording,
    steps: tuple[int, int] | None = None,
    bands: int = 5,
    suspect_N: NDArray[np.bool_] | None = None,
) -> ReplayedVisits:
    """The visits of `steps` (first, last), by default the later half, in `bands` by the norm of the feature.

    `suspect_N` (N,) says which samples are suspected to be noise. Raises ConfigError for steps without a visit, fewer
    than 1 band, and more bands than visits."""
    step_V = recording["step"].astype(np.int64)
    if not len(step_V):
        raise ConfigError("the recording has no visits")
    low, high = int(step_V.min()), int(step_V.max())
    first, last = steps or ((low + high + 1) // 2, high)
    chosen_V = (step_V >= first) & (step_V <= last)
    count = int(chosen_V.sum())
    if not count:
        raise ConfigError(f"no visit is of the steps {first} to {last}: the recording has {low} to {high}")
    if not 1 <= bands <= count:
        raise ConfigError(f"bands is {bands}, expected 1 to {count}, the number of visits")
    norm_V = recording["feature_norm"][chosen_V].astype(np.float64)
    rank_V = np.empty(count, np.int64)
    rank_V[np.argsort(norm_V, kind="stable")] = np.arange(count)
    band_V = np.full(len(step_V), -1)
    band_V[chosen_V] = rank_V * bands // count
    suspect_V = None if suspect_N is None else suspect_N[recording["sample"]]
    return ReplayedVisits(first, last, chosen_V, band_V, bands, suspect_V)
