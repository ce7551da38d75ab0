"""FMR and FNMR of groups of people or pictures, and of pairs of groups, at one threshold for all.

Everybody counts alike, as in `certify`: a false match rate is the mean over pairs of people of the share of their image
pairs that are accepted, a false non-match rate the mean over people of the share of theirs that are rejected.

The certified bounds are those of `certified_bound`. Their independent terms are the pairs of people that share nobody.
A list of E pairs of people, of which nobody is in more than Δ, falls into Δ + 1 such parts of equal size (V. G. Vizing
1964; D. de Werra 1971), and into Δ if there are people of two kinds, each compared with the other kind only (D. Kőnig
1916). So all pairs of N people hold ⌊N/2⌋ terms, and all pairs of one of N and one of M other people min(N, M).

The ratios, the largest rate over the geometric mean of all groups and over the smallest, are known as Max/GeoMean and
Max/Min among the summary measures of NIST's evaluations of demographic differentials (P. Grother, "Face Recognition
Vendor Test (FRVT) Part 8: Summarizing Demographic Differentials", NIST IR 8429, July 2022). How a rate of 0 is treated
is our own choice: there is no ratio then.

Shapes: K image pairs, G groups, T terms (pairs of people, or people), N people.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from facemargin.counting import counted
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.metrics.bootstrap import identity_codes
from facemargin.evaluation.metrics.certified_bound import certified_upper_bound, risk
from facemargin.evaluation.metrics.clustered_wilson import variance_of_pairs, variance_of_people, wilson_interval
from facemargin.evaluation.metrics.group_results import RATE_NAMES, GroupRate, GroupRates, RateName, WorstGroup
from facemargin.evaluation.metrics.inputs import as_array, as_identities, as_rate
from facemargin.evaluation.metrics.pairs import BoolArray, FloatArray, IntArray, check_pairs

MOST_GROUPS = 50
FEWEST_PEOPLE = 10
"""Below, estimated intervals are far too narrow (docs/evaluate.md)."""

_ROUNDING = 1 + 1e-12


def group_rates(
    scores: ArrayLike,
    same: ArrayLike,
    identities_a: ArrayLike,
    identities_b: ArrayLike,
    groups_a: ArrayLike,
    groups_b: ArrayLike,
    fmr: float | None = None,
    threshold: float | None = None,
    confidence: float = 0.95,
) -> GroupRates:
    """FMR and FNMR within every group and between every two, at one threshold.

    scores, same, identities_a, identities_b (K,): the pairs, higher scores more alike. groups_a, groups_b (K,): the
    group of each image, a text or number; an empty text, None or NaN is none. The images of a person may be in several
    groups (cameras, ages).

    fmr: the threshold is the lowest at which the FMR of all pairs is at most this. threshold: or it is this one. A
    bound is a promise for a threshold that was fixed beforehand; one that was chosen on the same pairs is a little too
    low for them.

    Raises DataError for unusable pairs and more than 50 groups; ConfigError unless either fmr or threshold is given,
    for an fmr or a confidence outside (0, 1) and a threshold that is not finite.

    Examples:
        >>> import facemargin as fm
        >>> pairs = fm.open_verification("orl:1-20")
        >>> embed = fm.evaluation.fit_pixel_embed(fm.open_images("orl:21-22"), size=16)
        >>> found = fm.evaluation.evaluate_verification(embed, pairs, "pixels")
        >>> half_a, half_b = (people < 10 for people in (found.identities_a_K, found.identities_b_K))
        >>> rates = fm.evaluation.group_rates(found.scores_K, found.same_K, found.identities_a_K,
        ...     found.identities_b_K, half_a, half_b, fmr=0.05)
        >>> rates.groups, rates.overall[0].observed <= 0.05, [rate.pairs for rate in rates.rates]
        (('False', 'True'), True, [4500, 10000, 4500, 450, 450])
    """
    scores_K, same_K = check_pairs(scores, same)
    a_K, b_K, people = identity_codes(
        as_identities("identities_a", identities_a), as_identities("identities_b", identities_b), same_K
    )
    group_a_K, group_b_K, names = _groups(groups_a, groups_b, same_K.shape)
    pairs = _Pairs(scores_K, same_K, a_K, b_K, people)
    if (fmr is None) == (threshold is None):
        raise ConfigError("either fmr or threshold is needed: the threshold is chosen for an FMR, or given")
    if fmr is not None:
        fmr = as_rate("fmr", fmr)
        if not 0 < fmr < 1:
            raise ConfigError(f"fmr is {fmr:g}, expected a rate between 0 and 1, such as 1e-2")
        cut = _threshold(pairs, fmr)
    else:
        assert threshold is not None
        cut = as_rate("threshold", threshold)
        if not np.isfinite(cut):
            raise ConfigError(f"threshold is {cut}, expected a finite number")
    low_K, high_K = np.minimum(group_a_K, group_b_K), np.maximum(group_a_K, group_b_K)
    cell_K = np.where(low_K < 0, -1, low_K * len(names) + high_K)
    cells = [
        (name, (names[cell // len(names)], names[cell % len(names)]), (cell_K == cell) & (same_K == (name == "FNMR")))
        for name in RATE_NAMES
        for cell in np.unique(cell_K[cell_K >= 0]).tolist()
    ]
    cells = [cell for cell in cells if cell[2].any()]
    delta = risk(confidence)
    share = delta / (len(cells) + 2)
    overall = tuple(
        _rate(pairs, name, (), same_K == (name == "FNMR"), np.zeros_like(same_K), cut, delta, share, None)
        for name in RATE_NAMES
    )
    observed = {rate.name: rate.observed for rate in overall}
    rates = tuple(
        _rate(pairs, name, of, kept_K, group_a_K > group_b_K, cut, delta, share, observed[name])
        for name, of, kept_K in cells
    )
    return GroupRates(
        threshold=cut,
        fmr=fmr,
        confidence=1 - delta,
        confidence_of_each=1 - share,
        groups=tuple(names),
        overall=overall,
        rates=rates,
        worst=tuple(_worst(name, rates) for name in RATE_NAMES),
        without_group=int(np.count_nonzero(cell_K < 0)),
    )


@dataclass(frozen=True)
class _Pairs:
    scores_K: FloatArray
    same_K: BoolArray
    a_K: IntArray
    b_K: IntArray
    people: int


@dataclass(frozen=True)
class _Terms:
    """Pairs of people: one person of each, the other one, and of every image pair the number of its term."""

    a_T: IntArray
    b_T: IntArray
    term_K: IntArray

    @classmethod
    def of(cls, a_K: IntArray, b_K: IntArray, people: int) -> "_Terms":
        keys_T, term_K = np.unique(np.minimum(a_K, b_K) * people + np.maximum(a_K, b_K), return_inverse=True)
        return cls(keys_T // people, keys_T % people, term_K)

    def mean(self, flag_K: BoolArray) -> FloatArray:
        """The share of the image pairs of every term that have the flag."""
        counts_T = np.bincount(self.term_K, minlength=len(self.a_T))
        return np.asarray(np.bincount(self.term_K, flag_K, len(self.a_T)) / counts_T)


def _groups(groups_a: ArrayLike, groups_b: ArrayLike, shape: tuple[int, ...]) -> tuple[IntArray, IntArray, list[str]]:
    """The number of the group of both images, −1 for none, and the names of the groups."""
    names_2K = []
    for side, groups in (("a", groups_a), ("b", groups_b)):
        values = as_array(f"groups_{side}", groups)
        if values.shape != shape:
            raise DataError(f"groups_{side} has shape {values.shape}, expected {shape}: one group per image of a pair")
        names_2K.append(_texts(values))
    names_G, code_2K = np.unique(np.concatenate(names_2K), return_inverse=True)
    code_2K = code_2K.reshape(-1)
    names = names_G.tolist()
    if names and names[0] == "":
        names, code_2K = names[1:], code_2K - 1
    if not names:
        raise DataError("no image has a group; expected a text or number for some of them")
    if len(names) > MOST_GROUPS:
        raise DataError(
            f"there are {len(names):,} groups ({', '.join(names[:3])}, …), expected at most {MOST_GROUPS}: "
            "put them together, such as ages into bands"
        )
    return code_2K[: shape[0]], code_2K[shape[0] :], names


def _texts(values: NDArray[Any]) -> NDArray[np.str_]:
    if values.dtype.kind in "USiub":
        return values.astype(np.str_)
    return np.array([_text(value) for value in values.tolist()], dtype=np.str_)


def _text(value: Any) -> str:
    return "" if value is None or value != value else f"{value:g}" if isinstance(value, float) else str(value)


def _threshold(pairs: _Pairs, fmr: float) -> float:
    """The lowest threshold with an FMR of at most `fmr`."""
    different_K = ~pairs.same_K
    scores_K = pairs.scores_K[different_K]
    terms = _Terms.of(pairs.a_K[different_K], pairs.b_K[different_K], pairs.people)
    weight_K = (1 / np.bincount(terms.term_K))[terms.term_K] / len(terms.a_T)
    order_K = np.argsort(-scores_K)
    rejected = scores_K[order_K][np.cumsum(weight_K[order_K]) > fmr * _ROUNDING]
    return float(np.nextafter(rejected[0], np.inf)) if len(rejected) else float(scores_K.min())


def _rate(
    pairs: _Pairs,
    name: RateName,
    groups: tuple[str, ...],
    kept_K: BoolArray,
    turned_K: BoolArray,
    cut: float,
    delta: float,
    share: float,
    overall: float | None,
) -> GroupRate:
    """`turned_K`: the image of the second group is on the first side."""
    a_K, b_K = pairs.a_K[kept_K], pairs.b_K[kept_K]
    error_K = (pairs.scores_K[kept_K] >= cut) == (name == "FMR")
    terms = _Terms.of(a_K, b_K, pairs.people)
    mean_T = terms.mean(error_K)
    rate = float(mean_T.mean())
    if name == "FNMR":
        people = units = len(mean_T)
        people_in_error = int(np.count_nonzero(mean_T))
        variance = variance_of_people(mean_T)
    else:
        both = np.concatenate([terms.a_T, terms.b_T])
        degree_N = np.bincount(both, minlength=pairs.people)
        sum_N = np.bincount(both, np.concatenate([mean_T, mean_T]), pairs.people).astype(np.float64)
        people, people_in_error = int(np.count_nonzero(degree_N)), int(np.count_nonzero(sum_N))
        first_K, second_K = np.where(turned_K[kept_K], b_K, a_K), np.where(turned_K[kept_K], a_K, b_K)
        two_kinds = len(set(groups)) == 2 and not len(np.intersect1d(first_K, second_K))
        units = _independent(len(mean_T), people, int(degree_N.max()), two_kinds)
        variance = variance_of_pairs(sum_N, float(mean_T @ mean_T), degree_N, len(mean_T), rate)
    return GroupRate(
        name=name,
        groups=groups,
        observed=rate,
        certified=float(certified_upper_bound(rate, units, 1 - share)) if units else 1.0,
        estimated=wilson_interval(rate, variance, 1 - delta),
        errors=int(np.count_nonzero(error_K)),
        pairs=len(a_K),
        people=people,
        people_in_error=people_in_error,
        units=units,
        too_small="" if overall is None else _too_small(people, len(a_K), overall),
    )


def _independent(terms: int, people: int, most: int, two_kinds: bool) -> int:
    """How many of the pairs of people share nobody, in parts of equal size."""
    if two_kinds:
        return terms // most
    return people // 2 if 2 * terms == people * (people - 1) else terms // (most + 1)


def _too_small(people: int, pairs: int, overall: float) -> str:
    if people < FEWEST_PEOPLE:
        return counted(people, "person", "people")
    return "fewer than 1 error expected" if pairs * overall < 1 else ""


def _worst(name: RateName, rates: tuple[GroupRate, ...]) -> WorstGroup:
    within = [rate for rate in rates if rate.name == name and len(set(rate.groups)) == 1]
    told = [rate for rate in within if not rate.too_small]
    groups = tuple(rate.groups[0] for rate in told)
    left_out = tuple(rate.groups[0] for rate in within if rate.too_small)
    without = tuple(rate.groups[0] for rate in told if rate.observed == 0)
    worst = max(told, key=lambda rate: rate.observed, default=None)
    if worst is None or len(told) < 2 or worst.observed == 0:
        return WorstGroup(name, None, None, None, groups, without, left_out)
    observed = np.array([rate.observed for rate in told])
    over_mean = None if without else float(worst.observed / np.exp(np.log(observed).mean()))
    over_smallest = None if without else float(worst.observed / observed.min())
    return WorstGroup(name, worst.groups[0], over_mean, over_smallest, groups, without, left_out)
