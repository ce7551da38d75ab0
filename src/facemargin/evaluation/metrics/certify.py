"""Thresholds whose error rates are promised for people who have not been seen yet.

The bound is that of `certified_bound`. Choosing the threshold on the same pairs costs nothing: the true rate FMR(t)
falls in t, so the smallest t with B(U(t); f, m) ≤ δ can only be too low if the bound is broken at the one point where
FMR(t) passes f. With several bands of quality, and an FNMR beside the FMR, every promise gets an equal share of δ, so
that all of them hold together.

Shapes: K image pairs, S images, B bands from the poorest up, G genuine pairs,
N people, I of them with a genuine pair.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.metrics.bootstrap import identity_codes
from facemargin.evaluation.metrics.certified_bound import (
    Design,
    largest_observed,
    people_per_unit,
    risk,
)
from facemargin.evaluation.metrics.certified_search import AcceptedImpostors, accepted_impostors, lowest_accepting
from facemargin.evaluation.metrics.certified_thresholds import (
    CertifiedBand,
    CertifiedRate,
    CertifiedThresholds,
    RateAt,
    certified_rate,
    quality_floor,
)
from facemargin.evaluation.metrics.clustered_wilson import variance_of_pairs, variance_of_people, wilson_interval
from facemargin.evaluation.metrics.gallery_pairs import EmbeddedGallery
from facemargin.evaluation.metrics.inputs import as_flags, as_identities, as_rate, as_rates
from facemargin.evaluation.metrics.pairs import FloatArray, check_finite
from facemargin.evaluation.metrics.person_pairs import EmbeddedPeople, GenuinePairs, PersonPairs, ScoredPairs


def certify_threshold(
    scores: ArrayLike,
    same: ArrayLike,
    identities_a: ArrayLike,
    identities_b: ArrayLike,
    fmr: float,
    confidence: float = 0.95,
    design: Design = "all-pairs",
    fnmr: float | None = None,
    quality_a: ArrayLike | None = None,
    quality_b: ArrayLike | None = None,
    bands: int | Sequence[float] = 1,
) -> CertifiedThresholds:
    """The lowest threshold whose FMR is certified to be at most `fmr`: if people were drawn anew and again, it would be
    more in at most 1 − `confidence` of all samples, whatever the population.

    scores, same, identities_a, identities_b (K,): the pairs, higher scores more alike. Rates are means over pairs of
    people (FNMR: over people), however many images there are of each.

    design "all-pairs": everybody is compared with everybody. This makes the most of few people.
    design "gallery": people (identities_a) are compared with a fixed, complete gallery (identities_b). The promise is
        for this gallery. Only people who are not in it count for the FMR.
    design "list": any pairs. The more pairs people share, the weaker the bound.

    fnmr: also the highest threshold below which pairs can be rejected: the FNMR there is certified to be at most this.
    bands: a number of bands of quality, of equally many images, or their edges, ascending; each gets thresholds of its
    own. quality_a, quality_b (K,): the qualities of the images, for the bands. The band of a pair is that of its poorer
    image. Edges that are chosen beforehand keep the promise exact; a number chooses them by these images' qualities.

    Raises DataError for unusable pairs, and unless everybody is compared with everybody (or with the whole gallery);
    ConfigError for a rate or confidence outside (0, 1) and unusable bands. A rate that so few people cannot certify is
    no error: the result says what it would need.

    Examples:
        >>> import facemargin as fm
        >>> people = [(a, b) for b in range(40) for a in range(b)]
        >>> first, second = zip(*people)
        >>> scores = [((7 * a + 3 * b) % 100) / 100 for a, b in people]
        >>> found = fm.evaluation.certify_threshold(scores, [False] * len(people), first, second, fmr=0.2)
        >>> round(found.threshold, 4), found.bands[0].fmr.people, found.bands[0].fmr.errors
        (0.96, 40, 22)
    """
    people_per_unit(design)
    scores_K, same_K = check_finite("scores", scores, keep_float32=True), as_flags("same", same)
    if same_K.shape != scores_K.shape:
        raise DataError(f"same has shape {same_K.shape}, expected {scores_K.shape}: one label per score")
    if same_K.all():
        raise DataError("none of the pairs is impostor; a false match rate needs pairs of different people")
    person_a_K, person_b_K, people = identity_codes(
        as_identities("identities_a", identities_a), as_identities("identities_b", identities_b), same_K
    )
    edges: FloatArray = np.empty(0)
    quality_2K: FloatArray = np.zeros((2, len(scores_K)))
    if quality_a is not None and quality_b is not None:
        quality_2K = np.stack(
            [
                check_finite(f"quality_{side}", quality, scores_K.shape)
                for side, quality in (("a", quality_a), ("b", quality_b))
            ]
        )
        edges = _edges(bands, quality_2K)
    elif quality_a is not None or quality_b is not None or np.ndim(bands) or bands != 1:
        raise ConfigError("bands of quality need quality_a and quality_b, the qualities of both images of every pair")
    if len(edges) and design == "list":
        raise ConfigError(
            "bands of quality need everybody compared with everybody (design='all-pairs') or with a gallery, not a list"
        )
    band_2K = np.searchsorted(edges, quality_2K, side="right")
    pairs = ScoredPairs(
        scores_K, same_K, person_a_K, person_b_K, people, design, band_2K[0], band_2K[1], len(edges) + 1
    )
    return _certify(pairs, edges, fmr, fnmr, confidence, design, pairs.left_out)


def certify_embeddings(
    embeddings: Embeddings,
    identities: ArrayLike,
    fmr: float,
    confidence: float = 0.95,
    fnmr: float | None = None,
    bands: int | Sequence[float] = 1,
) -> CertifiedThresholds:
    """As `certify_threshold` with all images of all people compared with each other, from the embeddings of S images
    and their `identities` (S,). The scores are never held all together, so that there may be billions of them.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> faces = fm.open_images("orl:1-20")
        >>> found = fm.evaluation.certify_embeddings(model.embed(faces), faces.labels, fmr=0.3, fnmr=0.3)
        >>> found.bands[0].fmr.people, found.bands[0].fmr.pairs, found.bands[0].fnmr.pairs
        (20, 19000, 900)
    """
    names_S, quality_S = _of_embeddings(embeddings, identities, "identities")
    names_N, person_S = np.unique(names_S, return_inverse=True)
    if len(names_N) < 2:
        raise DataError(
            f"the {counted(len(names_S), 'image')} show {counted(len(names_N), 'person', 'people')}; a false match "
            "rate needs pairs of different people"
        )
    edges = _edges(bands, quality_S)
    band_S = np.searchsorted(edges, quality_S, side="right")
    pairs = EmbeddedPeople(embeddings.vectors, person_S, band_S, len(edges) + 1)
    counts_N = np.bincount(person_S)
    impostors = (len(person_S) ** 2 - int((counts_N**2).sum())) // 2
    return _certify(pairs, edges, fmr, fnmr, confidence, "all-pairs", impostors - int(pairs.pairs_B.sum()))


def certify_gallery(
    probes: Embeddings,
    identities: ArrayLike,
    gallery: Embeddings,
    gallery_identities: ArrayLike,
    fmr: float,
    confidence: float = 0.95,
    fnmr: float | None = None,
    bands: int | Sequence[float] = 1,
) -> CertifiedThresholds:
    """As `certify_threshold` with design "gallery": the S probe images of people (`identities`, (S,)) compared with all
    T images of a fixed gallery (`gallery_identities`, (T,)). The scores are never held all together.

    People with the same identity in both are enrolled: they give the FNMR (each image pair of a probe and a gallery
    image of the person), and all others the FMR. A person who is enrolled with several images counts as one: the share
    of the image pairs in error. bands: a number of bands has edges at the quantiles of the probes' qualities.

    Raises DataError if everybody is enrolled, and as `certify_embeddings` does.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> probes, gallery = fm.open_images("orl:1-20"), fm.open_images("orl:16-24")
        >>> names = [[faces.identity_names[label] for label in faces.labels] for faces in (probes, gallery)]
        >>> found = fm.evaluation.certify_gallery(
        ...     model.embed(probes), names[0], model.embed(gallery), names[1], fmr=0.3, fnmr=0.5
        ... )
        >>> found.bands[0].fmr.people, found.bands[0].fmr.pairs, found.bands[0].fnmr.people
        (15, 13500, 5)
    """
    names_S, quality_S = _of_embeddings(probes, identities, "identities")
    names_T, quality_T = _of_embeddings(gallery, gallery_identities, "gallery_identities")
    if probes.vectors.shape[1] != gallery.vectors.shape[1]:
        raise DataError(
            f"the vectors of the probes have {probes.vectors.shape[1]} values, those of the gallery "
            f"{gallery.vectors.shape[1]}; expected the same model's"
        )
    names_N, person = np.unique(np.concatenate([names_S, names_T]), return_inverse=True)
    edges = _edges(bands, quality_S)
    sides = [
        (embeddings.vectors, of_side, np.searchsorted(edges, quality, side="right"))
        for embeddings, of_side, quality in (
            (probes, person[: len(names_S)], quality_S),
            (gallery, person[len(names_S) :], quality_T),
        )
    ]
    pairs = EmbeddedGallery(sides[0], sides[1], len(names_N), len(edges) + 1)
    return _certify(pairs, edges, fmr, fnmr, confidence, "gallery", pairs.left_out)


def _of_embeddings(embeddings: Embeddings, identities: ArrayLike, name: str) -> tuple[NDArray[Any], FloatArray]:
    """Who is in the images, and their qualities."""
    names_S = as_identities(name, identities)
    if names_S.shape != (len(embeddings),):
        raise DataError(f"{name} have shape {names_S.shape}, expected ({len(embeddings)},): one per embedding")
    if not len(names_S):
        raise DataError(f"there are no embeddings for the {name}; expected at least one")
    quality_S = check_finite("quality", embeddings.quality)
    if not np.isfinite(embeddings.vectors).all():
        raise DataError("the embeddings hold values that are not finite; leave such images out")
    return names_S, quality_S


def _edges(bands: int | Sequence[float], quality: FloatArray) -> FloatArray:
    if np.ndim(bands) == 0:
        if not isinstance(bands, int | np.integer) or bands < 1:
            raise ConfigError(f"bands is {bands!r}, expected a whole number of at least 1, or the edges of the bands")
        edges = np.quantile(quality, np.arange(1, bands) / bands)
        if len(np.unique([quality.min(), *edges])) <= len(edges):  # a band would be empty
            raise ConfigError(f"too many images have the same quality for {bands} bands: ask for fewer")
        return edges
    edges = np.array(as_rates("bands", bands))
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ConfigError(f"bands are {bands!r}, expected a number of bands or their edges, ascending")
    return edges


def _certify(
    pairs: PersonPairs,
    edges: FloatArray,
    fmr: float,
    fnmr: float | None,
    confidence: float,
    design: Design,
    left_out: int,
) -> CertifiedThresholds:
    delta, bands = risk(confidence), len(edges) + 1
    targets = {"fmr": as_rate("fmr", fmr)} | ({} if fnmr is None else {"fnmr": as_rate("fnmr", fnmr)})
    for name, target in targets.items():
        if not 0 < target < 1:
            raise ConfigError(f"{name} is {target:g}, expected a rate between 0 and 1, such as 1e-3")
    share = delta / (bands * len(targets))
    largest = [largest_observed(targets["fmr"], units, share) if units else None for units in pairs.units_B.tolist()]
    accepting = lowest_accepting(pairs, largest)
    accept_B = np.array([np.inf if found is None else found[0] for found in accepting])
    rejecting = [
        None if fnmr is None else _fnmr(pairs.genuine, band, targets["fnmr"], share, float(accept_B[band]))
        for band in range(bands)
    ]
    reject_B = np.array([np.inf if rate is None or rate.threshold is None else rate.threshold for rate in rejecting])
    made = []
    for band, accepted in enumerate(accepted_impostors(pairs, accept_B, reject_B)):
        found = accepting[band]
        rate = _fmr(pairs, band, targets["fmr"], share, found, accepted, design)
        at_least = accepted.not_rejected if np.isfinite(reject_B[band]) else int(pairs.pairs_B[band])
        genuine_G = pairs.genuine.scores_G[pairs.genuine.band_G == band]
        undecided_G = (genuine_G < accept_B[band]) & ((genuine_G >= reject_B[band]) | np.isinf(reject_B[band]))
        made.append(
            CertifiedBand(
                lowest_quality=float(edges[band - 1]) if band else None,
                fmr=rate,
                fnmr=rejecting[band],
                undecided_impostor=(at_least - accepted.accepted) / max(1, int(pairs.pairs_B[band])),
                undecided_genuine=float(undecided_G.mean()) if len(genuine_G) else 0.0,
            )
        )
    made.reverse()
    return CertifiedThresholds(design, 1 - delta, tuple(made), quality_floor(made), left_out)


def _fmr(
    pairs: PersonPairs,
    band: int,
    target: float,
    delta: float,
    found: tuple[float, float] | None,
    accepted: AcceptedImpostors,
    design: Design,
) -> CertifiedRate:
    people, units, terms = int(pairs.people_B[band]), int(pairs.units_B[band]), int(pairs.terms_B[band])
    estimated = None
    if found is not None:
        if design == "gallery":
            variance = variance_of_people(accepted.sum_N[pairs.terms_of_BN[band] > 0])
        else:
            variance = variance_of_pairs(accepted.sum_N, accepted.square_sum, pairs.terms_of_BN[band], terms, found[1])
        estimated = wilson_interval(found[1], variance, 1 - delta)
    people_in_error = int(np.count_nonzero(accepted.sum_N))
    at = None if found is None else RateAt(*found, accepted.accepted, people_in_error, estimated)
    return certified_rate("FMR", target, delta, at, int(pairs.pairs_B[band]), people, units, design)


def _fnmr(genuine: GenuinePairs, band: int, target: float, delta: float, accept: float) -> CertifiedRate:
    """At the highest threshold that is certified, or at that of the FMR if it is lower, where the FNMR is, too."""
    of_band_G = genuine.band_G == band
    scores_G, weight_G = genuine.scores_G[of_band_G], genuine.weight_G[of_band_G]
    units = int(genuine.people_B[band])
    largest = largest_observed(target, units, delta) if units else None
    at = None
    if largest is not None:
        order_G = np.argsort(scores_G)
        sorted_G, below_G = scores_G[order_G], np.cumsum(weight_G[order_G]) - weight_G[order_G]
        first_G = np.searchsorted(sorted_G, sorted_G)
        threshold = min(float(sorted_G[below_G[first_G] <= largest][-1]), accept)
        missed_G = scores_G < threshold
        share_N = np.bincount(genuine.person_G[of_band_G], weight_G * missed_G * units)
        share_I = share_N[np.unique(genuine.person_G[of_band_G])]
        rate = float(weight_G[missed_G].sum())
        estimated = wilson_interval(rate, variance_of_people(share_I), 1 - delta)
        at = RateAt(threshold, rate, int(missed_G.sum()), int(np.count_nonzero(share_I)), estimated)
    return certified_rate("FNMR", target, delta, at, len(scores_G), units, units, "gallery")
