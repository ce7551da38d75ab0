"""Measures the thresholds and quality floors of a model on verification pairs. Shapes: K pairs, I impostor, G
genuine."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource
from facemargin.decision.calibration import Calibration, Threshold
from facemargin.decision.fingerprint import fingerprint
from facemargin.detection.detector import Detector, identify_detector
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.metrics.pairs import check_pairs
from facemargin.evaluation.metrics.rates_at import fmr_at
from facemargin.evaluation.metrics.sorted_scores import SortedPairs, highest_rejected
from facemargin.evaluation.protocols.verification import evaluate_verification
from facemargin.evaluation.scores import PairScores
from facemargin.models.model import Model, Progress
from facemargin.models.training_faces import not_of_others, warn_of_training_faces
from facemargin.models.views import Views

FloatArray = NDArray[np.float64]

# A rate from fewer pairs than this is meaningless.
_FEWEST_POOR_PAIRS = 20


def calibrate(
    model: Model,
    pairs: VerificationSet,
    floor_percentile: float = 1.0,
    max_fnmr: float | None = None,
    views: Views | None = None,
    progress: Progress | None = None,
    embeddings: Embeddings | None = None,
    detector: Detector | str | None = None,
) -> Calibration:
    """The thresholds of `model` for FMRs of 0.5, 0.2, 0.1, … down to the lowest that the impostor pairs can measure
    (one accepted), each with the quality below which the model should not decide; see `quality_floor`.

    If the pairs say who is in the images, each also has an estimated FMR and a certified one: see `Threshold`.

    `embeddings` are those of the images of `pairs`, if they are computed already. `detector` is the detector that found
    the faces of `pairs`, as an object or by its name. The calibration stores its name and settings, and decisions on
    faces that were found in another way come with a warning.

    Raises DataError if the pairs are all genuine or all impostor, and ConfigError for a percentile or rate out of
    range.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> calibration = fm.calibrate(model, fm.open_verification("orl:1-4"))
        >>> [point.target_fmr for point in calibration.thresholds][:4]
        [0.5, 0.2, 0.1, 0.05]
    """
    used = views or model.info.views
    warn_of_training_faces(model.info, pairs, not_of_others("thresholds"), compare_images=detector is None)

    found: list[Embeddings] = []

    def embed(images: ImageSource) -> Embeddings:
        found.append(model.embed(images, views=used, progress=progress) if embeddings is None else embeddings)
        return found[-1]

    name, settings = (None, None) if detector is None else identify_detector(detector)
    scores = evaluate_verification(embed, pairs, "facemargin")
    thresholds = measure_thresholds(scores, floor_percentile, max_fnmr)
    if pairs.identities_N is not None:
        thresholds = with_people(thresholds, found[-1], pairs.identities_N)
    same_K = scores.same_K
    return Calibration(
        pairs=pairs.name,
        impostors=int(np.count_nonzero(~same_K)),
        genuine=int(np.count_nonzero(same_K)),
        quality=model.info.quality,
        views=used,
        floor_rule=f"percentile {floor_percentile:g}" if max_fnmr is None else f"FNMR {max_fnmr:g}",
        fingerprint=fingerprint(model, used),
        thresholds=thresholds,
        detector=name,
        detector_settings=settings,
    )


def measure_thresholds(
    scores: PairScores, floor_percentile: float = 1.0, max_fnmr: float | None = None
) -> tuple[Threshold, ...]:
    """The operating points for all FMRs that can be measured, the highest first. `scores` have qualities."""
    if not 0 <= floor_percentile < 100:
        raise ConfigError(f"the floor's percentile is {floor_percentile}, expected 0 or more and less than 100")
    if max_fnmr is not None and not 0 < max_fnmr < 1:
        raise ConfigError(f"the largest FNMR is {max_fnmr}, expected a number between 0 and 1")
    scores_K, same_K = check_pairs(scores.scores_K, scores.same_K)
    if scores.quality_a_K is None or scores.quality_b_K is None:
        raise DataError(f"{scores.dataset}: the pairs have no qualities, which the quality floor needs")
    quality_K = np.minimum(scores.quality_a_K, scores.quality_b_K)
    images_floor = float(np.percentile(np.concatenate([scores.quality_a_K, scores.quality_b_K]), floor_percentile))
    sorted_pairs = SortedPairs.of(scores_K, same_K)
    targets = _targets(sorted_pairs.impostor.total)
    limits = [sorted_pairs.lowest_above(highest_rejected(sorted_pairs.impostor, fmr)) for fmr in targets]
    if not np.isfinite(limits[-1]):
        # The next number above the highest impostor score.
        limits = [limit if np.isfinite(limit) else float(np.nextafter(scores_K.max(), np.inf)) for limit in limits]
    points = []
    for target, threshold in zip(targets, limits, strict=True):
        floor = (
            images_floor
            if max_fnmr is None
            else quality_floor(scores_K[same_K] < threshold, quality_K[same_K], max_fnmr)
        )
        accepted = int(sorted_pairs.impostor.at_or_above(threshold))
        good_G = quality_K[same_K] >= floor
        missed_G = scores_K[same_K] < threshold
        points.append(
            Threshold(
                target_fmr=target,
                threshold=threshold,
                fmr=accepted / sorted_pairs.impostor.total,
                impostors_accepted=accepted,
                fnmr=float(missed_G[good_G].mean()) if good_G.any() else 1.0,
                quality_floor=floor,
                too_poor=float(np.mean(quality_K < floor)),
            )
        )
    return tuple(points)


def with_people(
    thresholds: Sequence[Threshold], embeddings: Embeddings, identities_N: NDArray[np.int64]
) -> tuple[Threshold, ...]:
    """The operating points with the estimated and the certified FMR, all people of the images compared with each
    other."""
    rates = fmr_at(
        embeddings, identities_N, [point.threshold for point in thresholds], [point.target_fmr for point in thresholds]
    )
    return tuple(
        replace(point, estimated=rate.estimated, certified=rate.certified)
        for point, rate in zip(thresholds, rates, strict=True)
    )


def quality_floor(missed_G: NDArray[np.bool_], quality_G: FloatArray, max_fnmr: float) -> float:
    """The quality below which genuine pairs are falsely not matched at a rate above `max_fnmr`.

    Pairs are sorted by quality (the quality of a pair is the lower one of its two images). The floor is the highest
    quality for which the pairs below it, at least 20, have an FNMR above `max_fnmr`. If there is none, the floor is the
    lowest measured quality, because nothing is known about poorer images.
    """
    order = np.argsort(quality_G, kind="stable")
    sorted_G = quality_G[order]
    missed_below_G = np.concatenate([[0], np.cumsum(missed_G[order])[:-1]])
    # The pairs strictly below each quality; pairs of equal quality do not count for each other.
    below_G = np.searchsorted(sorted_G, sorted_G, side="left")
    fnmr_G = missed_below_G[below_G] / np.maximum(below_G, 1)
    poor = np.flatnonzero((below_G >= _FEWEST_POOR_PAIRS) & (fnmr_G > max_fnmr))
    return float(sorted_G[poor[-1]] if len(poor) else sorted_G[0])


def _targets(impostors: int) -> list[float]:
    """0.5, 0.2, 0.1, 0.05, … as long as at least one impostor pair may be accepted."""
    rates = (float(f"{digit}e-{power}") for power in range(1, 16) for digit in (5, 2, 1))
    targets = [rate for rate in rates if rate * impostors >= 1 - 1e-9]
    if not targets:
        raise DataError(
            f"{impostors} impostor pair is too few for any threshold; expected at least 2, and 1/FMR for an FMR"
        )
    return targets
