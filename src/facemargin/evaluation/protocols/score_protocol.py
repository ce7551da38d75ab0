"""Scores a protocol, given the features of its images.

Shapes: N images, E images of templates, U units (templates, or images where there are none), D embedding size, K pairs,
T points of a curve.
"""

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.identification import identification
from facemargin.evaluation.metrics.inputs import as_flags, as_numbers
from facemargin.evaluation.metrics.pair_scores import pair_scores
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, check_pairs
from facemargin.evaluation.metrics.roc import area, equal_error_rate, roc_corners
from facemargin.evaluation.metrics.search import FAILED
from facemargin.evaluation.metrics.sorted_scores import SortedPairs
from facemargin.evaluation.metrics.tar_at_far import operating_points
from facemargin.evaluation.metrics.templates import pool_templates
from facemargin.evaluation.metrics.tensors import as_tensor
from facemargin.evaluation.protocols.presets import PRESETS, PresetName
from facemargin.evaluation.protocols.protocol import PairExperiment, Protocol, Rule, SearchExperiment, TemplateLists
from facemargin.evaluation.protocols.protocol_result import ProtocolResult, SearchResult, VerificationResult
from facemargin.evaluation.scores import PairScores

_CURVE_FARS = np.logspace(-7, 0, 71)


@dataclass(frozen=True)
class Units:
    """The vectors to compare, `vectors_UD`. Those of templates have `unit_length`. `failed_U` marks units without any
    readable image."""

    vectors_UD: NDArray[Any]
    failed_U: BoolArray
    unit_length: bool


def score_protocol(
    protocol: Protocol,
    features_ND: NDArray[Any],
    readable_N: BoolArray,
    system: str,
    preset: PresetName = "insightface",
    views: str = "",
    rule: Rule = "standard",
) -> ProtocolResult:
    """Every experiment of `protocol` on the features of its images, which may be memory-mapped and are not normalised.

    Images that are not `readable_N` are left out of their templates. A unit without any readable image scores below all
    others in every comparison. `preset` says how templates are pooled. `views` only describes which views the caller
    has embedded. Raises DataError for features that do not fit or that the metrics do not accept.

    Examples:
        >>> import facemargin as fm
        >>> import numpy as np
        >>> protocol = fm.evaluation.load_protocol("pairs", "orl:1-4")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:5-6"), size=16)
        >>> features = embed(protocol.images).vectors
        >>> result = fm.evaluation.score_protocol(protocol, features, np.full(len(features), True), "pixels")
        >>> result.images, result.unreadable
        (40, 0)
    """
    if preset not in PRESETS:
        raise ConfigError(f"unknown preset {preset!r}; known: {', '.join(PRESETS)}")
    if rule not in get_args(Rule):
        raise ConfigError(f"unknown rule {rule!r}; known: {', '.join(get_args(Rule))}")
    features_ND, readable_N = as_numbers("features", features_ND), as_flags("readable", readable_N)
    if features_ND.shape[:1] != (len(protocol.images),):
        raise DataError(
            f"{counted(len(features_ND), 'feature')} for the {counted(len(protocol.images), 'image')} of "
            f"{protocol.name}, expected one per image"
        )
    if readable_N.shape != (len(protocol.images),):
        raise DataError(
            f"readable has shape {readable_N.shape} for the {counted(len(protocol.images), 'image')} of "
            f"{protocol.name}, expected one flag per image"
        )
    units = protocol_units(protocol.templates, features_ND, readable_N, preset)
    verification, searches = [], []
    for experiment in protocol.experiments:
        if isinstance(experiment, PairExperiment):
            verification.append(_verify(experiment, units, rule))
        else:
            searches.append(_search(experiment, units))
    return ProtocolResult(
        system=system,
        protocol=protocol.name,
        rule=rule,
        preset=None if protocol.templates is None else preset,
        views=views,
        images=len(protocol.images),
        unreadable=int(np.count_nonzero(~readable_N)),
        templates=0 if protocol.templates is None else len(units.vectors_UD),
        failed=int(units.failed_U.sum()),
        verification=tuple(verification),
        searches=tuple(searches),
        notes=protocol.notes,
    )


def protocol_units(
    lists: TemplateLists | None, features_ND: NDArray[Any], readable_N: BoolArray, preset: PresetName
) -> Units:
    """The templates of a protocol, or its images if it has no templates."""
    if lists is None:
        return Units(features_ND, ~readable_N, unit_length=False)
    settings = PRESETS[preset]
    kept_E = readable_N[lists.image_E]
    weights_E = lists.detector_E if settings.detector_score else None
    pooled = pool_templates(
        features_ND,
        lists.template_E[kept_E],
        lists.media_E[kept_E],
        None if weights_E is None else weights_E[kept_E],
        settings.normalize_media,
        lists.image_E[kept_E],
    )
    failed_U = np.ones(len(lists.names), dtype=bool)
    failed_U[pooled.ids] = False
    if not failed_U.any():
        return Units(pooled.vectors, failed_U, unit_length=True)
    vectors_UD = np.zeros((len(failed_U), features_ND.shape[1]), pooled.vectors.dtype)
    vectors_UD[pooled.ids] = pooled.vectors
    return Units(vectors_UD, failed_U, unit_length=True)


def protocol_pairs(
    protocol: Protocol,
    features_ND: NDArray[Any],
    readable_N: BoolArray,
    system: str,
    preset: PresetName = "insightface",
) -> list[tuple[PairExperiment, PairScores]]:
    """The scores of every `PairExperiment` whose people are known. The arguments are those of `score_protocol`."""
    units = protocol_units(protocol.templates, features_ND, readable_N, preset)
    found = []
    for experiment in protocol.experiments:
        if isinstance(experiment, PairExperiment) and experiment.people_U is not None:
            people_U = experiment.people_U
            sides = {"a": people_U[experiment.first_K], "b": people_U[experiment.second_K]}
            scores = PairScores(
                system=system,
                dataset=f"{protocol.name} {experiment.name}",
                scores_K=_scores(experiment, units),
                same_K=experiment.same_K.astype(np.bool_),
                identities_a_K=sides["a"],
                identities_b_K=sides["b"],
            )
            found.append((experiment, scores))
    return found


def _verify(experiment: PairExperiment, units: Units, rule: Rule) -> VerificationResult:
    scores_K = _scores(experiment, units)
    sorted_pairs = SortedPairs.of(*check_pairs(scores_K, experiment.same_K, keep_float32=True))
    del scores_K
    return _verified(experiment, sorted_pairs, rule)


def _scores(experiment: PairExperiment, units: Units) -> FloatArray:
    scores_K = pair_scores(units.vectors_UD, experiment.first_K, experiment.second_K)
    if not units.unit_length:
        norms_U = as_tensor(units.vectors_UD).norm(dim=1).numpy()
        norms_U[units.failed_U] = 1
        if not norms_U.all():
            raise DataError(f"the features of image {np.argmin(norms_U)} are zero, so they have no direction")
        scores_K /= norms_U[experiment.first_K] * norms_U[experiment.second_K]
    if units.failed_U.any():
        scores_K[units.failed_U[experiment.first_K] | units.failed_U[experiment.second_K]] = FAILED
    return scores_K


def _verified(experiment: PairExperiment, sorted_pairs: SortedPairs, rule: Rule) -> VerificationResult:
    far_T, tar_T, _ = roc_corners(sorted_pairs)
    return VerificationResult(
        name=experiment.name,
        genuine=sorted_pairs.genuine.total,
        impostors=sorted_pairs.impostor.total,
        tar_at_far=operating_points(sorted_pairs, experiment.fars, "published" if rule == "published" else "at_most"),
        eer=equal_error_rate(far_T, tar_T),
        auc=area(far_T, tar_T),
        far_T=_CURVE_FARS,
        tar_T=_at(_CURVE_FARS, far_T, tar_T),
    )


def _at(wanted_T: FloatArray, far_T: FloatArray, tar_T: FloatArray) -> FloatArray:
    """For each wanted FAR, the largest TAR of a corner of the curve with at most this FAR."""
    curve: FloatArray = tar_T[np.searchsorted(far_T, wanted_T, side="right") - 1]
    return curve


def _search(experiment: SearchExperiment, units: Units) -> SearchResult:
    probe_P, gallery_G = _rows(experiment.probe_P), _rows(experiment.gallery_G)
    identification_rates = identification(
        units.vectors_UD[probe_P],
        units.vectors_UD[gallery_G],
        experiment.probe_ids_P,
        experiment.gallery_ids_G,
        ranks=experiment.ranks,
        fpirs=experiment.fpirs,
        rule=experiment.rule,
        open_set_rank=experiment.open_set_rank,
        probe_failed=units.failed_U[probe_P],
        gallery_failed=units.failed_U[gallery_G],
        candidates="people" if experiment.gallery == "best" else "entries",
    )
    return SearchResult(
        experiment.name,
        len(experiment.gallery_G),
        experiment.rule,
        experiment.open_set_rank,
        identification_rates,
        experiment.gallery,
    )


def _rows(rows: NDArray[Any]) -> NDArray[Any] | slice:
    """Consecutive rows as a slice, so that a gallery on disk is not copied into memory."""
    first = int(rows[0])
    return slice(first, first + len(rows)) if np.array_equal(rows, np.arange(first, first + len(rows))) else rows
