"""Checks whether a measure of quality can be trusted: on degraded faces, on pictures without a face, and by the errors
that it avoids.

Shapes: N faces, L of them degraded step by step, P pictures, D embedding size, K pairs, G genuine, M kinds.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facemargin.counting import counted
from facemargin.data.pairs.sampling import DrawnPairs, at_most, count_pairs
from facemargin.data.source import ImageSource, ImageSubset, LabeledImages
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.check_pictures import STRENGTHS, CheckPictures, choose_stepped
from facemargin.evaluation.checked_quality import DiscardResult, KindResponse, NotFacesRanked, QualityCheck
from facemargin.evaluation.embeddings import Embed
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from facemargin.evaluation.metrics.degradation_response import mean_correlations, strength_correlations
from facemargin.evaluation.metrics.discard_gain import discard_gain
from facemargin.evaluation.metrics.pair_scores import pair_scores
from facemargin.evaluation.metrics.pairs import FloatArray, IntArray
from facemargin.evaluation.metrics.sorted_scores import SortedScores, allowed_count, highest_rejected
from facemargin.evaluation.quality_verdict import judge
from facemargin.quality.degradation_kinds import KINDS
from facemargin.quality.not_faces import NOT_FACES

MeasureQuality = Callable[[ImageSource], NDArray[Any]]
"""A function that returns the qualities (N,) of all images of a source, in order; higher is better."""

STEPPED_FACES = 100
NOT_FACES_EACH = 50
DISCARD_LIMIT = 0.3
"""The largest fraction of the genuine pairs that is discarded."""
LOWEST_DECILE = 0.1
FMRS = (1e-4, 1e-3, 1e-2, 1e-1)
"""The threshold is that of the strictest of these rates at which at least `ENOUGH` impostor pairs of clean faces may be
accepted, so that it is measured, and at most `MOST_MISSED` of the clean genuine pairs are missed, so that there is
something to avoid and something to keep. If there is none, it is that of the last."""
ENOUGH = 10
MOST_MISSED = 0.5
FEWEST_PEOPLE = 5
"""With several images each: intervals resample people."""
MOST_PAIRS = 2_000_000


def check_quality(
    embed: Embed,
    faces: ImageSource,
    measure: str = "norm",
    *,
    stepped: int = STEPPED_FACES,
    strengths: Sequence[float] = STRENGTHS,
    not_faces: int = NOT_FACES_EACH,
    seed: int = 0,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> QualityCheck:
    """Check the quality that `embed` itself returns, which the results call `measure`.

    `faces` are aligned, and all of them are used (`choose_faces` chooses some of many). If they say who is on them
    (LabeledImages), their pairs, as for a calibration, give error versus discard; without it, no quality is shown to
    help. At most `stepped` faces are degraded by every kind at every one of the `strengths`, which ascend from 0 to 1.
    There are `not_faces` pictures of every kind without a face. Everything random depends on `seed` only.

    Raises DataError for qualities that are not finite or all the same, and if fewer than `FEWEST_PEOPLE` people have
    several images; ConfigError for other strengths and numbers.

    Examples:
        >>> import facemargin as fm
        >>> model = fm.wrap(fm.create_backbone("small_resnet", embedding_size=64), input_size=64)
        >>> check = fm.evaluation.check_quality(model.embed, fm.open_images("orl:1-5"), stepped=5)
        >>> check.verdict
        'not shown to help'
    """
    plan = _Plan.of(faces, stepped, strengths, not_faces, seed, bootstrap)
    embeddings = embed(plan.pictures)
    plan.require_one_each(measure, len(embeddings.vectors))
    clean_ND, mixed_ND = (np.asarray(embeddings.vectors)[part] for part in (plan.pictures.clean, plan.pictures.mixed))
    return plan.check(measure, embeddings.quality, _Scores.of(plan, clean_ND, mixed_ND))


def check_measures(
    embed: Embed,
    faces: ImageSource,
    measures: Mapping[str, MeasureQuality],
    *,
    stepped: int = STEPPED_FACES,
    strengths: Sequence[float] = STRENGTHS,
    not_faces: int = NOT_FACES_EACH,
    seed: int = 0,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> dict[str, QualityCheck]:
    """As `check_quality`, of several `measures`, {name: function}, on the same pictures and pairs. `embed` is the
    recogniser whose errors they are to foretell.

    Examples:
        >>> import facemargin as fm
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:6-7"), size=16)
        >>> brightness = lambda images: [image.mean() for image in images]
        >>> found = fm.evaluation.check_measures(embed, fm.open_images("orl:1-5"), {"mean": brightness}, stepped=5)
        >>> found["mean"].words
        'not shown to help'
    """
    plan = _Plan.of(faces, stepped, strengths, not_faces, seed, bootstrap)
    scores = None
    if plan.pairs is not None:
        rows = np.arange(2 * len(faces))
        vectors_ND = np.asarray(embed(ImageSubset(plan.pictures, rows)).vectors)
        plan.require_one_each("embed", len(vectors_ND), len(rows))
        scores = _Scores.of(plan, vectors_ND[plan.pictures.clean], vectors_ND[plan.pictures.mixed])
    return {name: plan.check(name, measure(plan.pictures), scores) for name, measure in measures.items()}


@dataclass(frozen=True)
class _Plan:
    """What is measured. `identities_N` of the faces, or their numbers if nobody says who they are. `pairs` is None if
    there are none; `missing` then says why."""

    pictures: CheckPictures
    faces: ImageSource
    strengths: tuple[float, ...]
    identities_N: IntArray
    people: int | None
    pairs: DrawnPairs | None
    missing: str
    bootstrap: Bootstrap

    @classmethod
    def of(
        cls,
        faces: ImageSource,
        stepped: int,
        strengths: Sequence[float],
        not_faces: int,
        seed: int,
        bootstrap: Bootstrap,
    ) -> "_Plan":
        given = tuple(float(strength) for strength in strengths)
        if len(given) < 3 or given != tuple(sorted(set(given))) or (given[0], given[-1]) != (0, 1):
            raise ConfigError(f"the strengths are {given}, expected at least three that ascend from 0 to 1")
        if stepped < 2:
            raise ConfigError(f"the number of faces to degrade step by step is {stepped}, expected at least 2")
        if not_faces < 1:
            raise ConfigError(f"the number of pictures of each kind without a face is {not_faces}, expected at least 1")
        if len(faces) < 2:
            raise DataError(f"{faces.name} has {counted(len(faces), 'image')}; checking quality needs at least 2")
        labeled = isinstance(faces, LabeledImages)
        labels_N = faces.labels if isinstance(faces, LabeledImages) else np.arange(len(faces))
        pairs, missing = _pairs(faces, labels_N, seed) if labeled else (None, _NOBODY)
        return cls(
            pictures=CheckPictures(faces, choose_stepped(faces, stepped, seed), given, not_faces, seed),
            faces=faces,
            strengths=given,
            identities_N=labels_N,
            people=len(np.unique(labels_N)) if labeled else None,
            pairs=pairs,
            missing=missing,
            bootstrap=bootstrap,
        )

    def require_one_each(self, name: str, count: int, expected: int | None = None) -> None:
        expected = len(self.pictures) if expected is None else expected
        if count != expected:
            raise DataError(
                f"{name} returned {counted(count, 'value')} for {counted(expected, 'picture')}; expected one per "
                "picture, in order"
            )

    def check(self, measure: str, quality_P: NDArray[Any], scores: "_Scores | None") -> QualityCheck:
        """The result of a measure with these qualities."""
        quality_P = self._usable(measure, np.asarray(quality_P))
        kinds = self._kinds(quality_P)
        above_P = quality_P > np.quantile(quality_P[self.pictures.clean], LOWEST_DECILE)
        not_faces = tuple(
            NotFacesRanked(kind, self.pictures.not_faces, int(above_P[self.pictures.of_kind(number)].sum()))
            for number, kind in enumerate(NOT_FACES)
        )
        discards = () if scores is None else scores.discards(self, quality_P)
        verdict, exceptions, reasons = judge(kinds, not_faces, discards, self.missing, self.people)
        return QualityCheck(
            measure=measure,
            faces=self.faces.name,
            images=len(self.faces),
            people=self.people,
            stepped=len(self.pictures.stepped_L),
            strengths=self.strengths,
            resampled="faces" if self.people is None else "people",
            kinds=kinds,
            not_faces=not_faces,
            discards=discards,
            fmr=None if scores is None else scores.fmr,
            impostors=0 if self.pairs is None else int((~self.pairs.same_K).sum()),
            verdict=verdict,
            exceptions=exceptions,
            reasons=reasons,
        )

    def _usable(self, measure: str, quality_P: NDArray[Any]) -> FloatArray:
        """As float64. Raises DataError for values that say nothing."""
        if quality_P.ndim != 1:
            raise DataError(f"the quality by {measure} has shape {quality_P.shape}, expected one number per picture")
        self.require_one_each(f"the quality by {measure}", len(quality_P))
        as_float_P: FloatArray = quality_P.astype(np.float64)
        finite_P = np.isfinite(as_float_P)
        if not finite_P.all():
            raise DataError(
                f"the quality by {measure} is not finite for {counted(int((~finite_P).sum()), 'picture')} of "
                f"{len(finite_P):,}, the first of which is {self.pictures.describe(int(np.argmin(finite_P)))}; every "
                "picture needs a number"
            )
        if as_float_P.min() == as_float_P.max():
            raise DataError(
                f"the quality by {measure} is {as_float_P[0]:g} for all {len(as_float_P):,} pictures, so it measures "
                "nothing"
            )
        return as_float_P

    def _kinds(self, quality_P: FloatArray) -> tuple[KindResponse, ...]:
        correlation_ML = strength_correlations(self.pictures.steps(quality_P), self.strengths)
        people_L = self.identities_N[self.pictures.stepped_L]
        means, intervals = mean_correlations(correlation_ML, people_L, self.bootstrap)
        return tuple(map(KindResponse, KINDS, means.tolist(), intervals))


@dataclass(frozen=True)
class _Scores:
    """The threshold, and the genuine pairs that are missed at it, of clean and of degraded faces."""

    fmr: float
    missed: dict[Literal["degraded", "clean"], NDArray[np.bool_]]

    @classmethod
    def of(cls, plan: _Plan, clean_ND: NDArray[Any], mixed_ND: NDArray[Any]) -> "_Scores | None":
        if plan.pairs is None:
            return None
        first_K, second_K, same_K, _ = plan.pairs
        for vectors_ND in (clean_ND, mixed_ND):
            if not np.isfinite(vectors_ND).all():
                raise DataError(f"embed returned a vector that is not finite for a picture of {plan.pictures.name}")
        impostor = SortedScores.of(pair_scores(clean_ND, first_K[~same_K], second_K[~same_K]))
        clean_G, mixed_G = (pair_scores(vectors, first_K[same_K], second_K[same_K]) for vectors in (clean_ND, mixed_ND))
        measurable = [rate for rate in FMRS if allowed_count(rate, impostor.total) >= ENOUGH]
        few = (rate for rate in measurable if np.mean(clean_G <= highest_rejected(impostor, rate)) <= MOST_MISSED)
        fmr = next(few, FMRS[-1])
        rejected = highest_rejected(impostor, fmr)
        return cls(fmr, {"degraded": mixed_G <= rejected, "clean": clean_G <= rejected})

    def discards(self, plan: _Plan, quality_P: FloatArray) -> tuple[DiscardResult, ...]:
        assert plan.pairs is not None
        first_G, second_G = (images_K[plan.pairs.same_K] for images_K in plan.pairs[:2])
        parts = {"degraded": plan.pictures.mixed, "clean": plan.pictures.clean}
        results = []
        for faces, missed_G in self.missed.items():
            quality_N = quality_P[parts[faces]]
            quality_G = np.minimum(quality_N[first_G], quality_N[second_G])
            gain = None
            if missed_G.any():
                gain = discard_gain(missed_G, quality_G, plan.identities_N[first_G], DISCARD_LIMIT, plan.bootstrap)
            results.append(
                DiscardResult(
                    faces=faces,
                    genuine=len(missed_G),
                    missed=int(missed_G.sum()),
                    limit=DISCARD_LIMIT,
                    relative=None if gain is None else gain.relative,
                    difference=None if gain is None else gain.difference,
                    interval=None if gain is None else gain.interval,
                )
            )
        return tuple(results)


_NOBODY = "whether it avoids errors cannot be measured, because nobody says who is on which face"


def _pairs(faces: ImageSource, labels_N: IntArray, seed: int) -> tuple[DrawnPairs | None, str]:
    """The pairs of the faces, or None and why there are none."""
    several = int((np.bincount(labels_N) > 1).sum())
    genuine, impostor = count_pairs(labels_N)
    if not several or not impostor:
        return None, f"whether it avoids errors cannot be measured: {genuine:,} genuine and {impostor:,} impostor pairs"
    if several < FEWEST_PEOPLE:
        raise DataError(
            f"{faces.name}: {counted(several, 'person has', 'people have')} several images; expected at least "
            f"{FEWEST_PEOPLE}, because intervals resample people. Give faces of more people, with several images each"
        )
    return at_most(labels_N, MOST_PAIRS, seed), ""
