"""How often a promise about an error rate is broken: counting pairs, clustered variance, and the certified bound.

1. At a fixed threshold: how often the true FMR is above the upper bound.
2. With the threshold chosen on the same people, for FMR f: how often the true FMR at it is above f.
3. The same with bands of quality and an FNMR: how often any of the promises is broken. And what is broken if every band
   of four gets the whole risk δ instead of its share, as a walk down the bands that stops at the first refusal might.
4. `--lfw FOLDER`: real people drawn without replacement, SFace; what all of them together give is the truth.

Clopper and Pearson's bound takes pairs for independent; Wilson's has the variance of clustered pairs (Fogliato, Patil
and Perona, IJCV 2024; without any error as many pairs as there are). Bounds are one-sided, 95 %. Shapes: N people,
K pairs.
"""

import argparse
import math
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from certified_populations import DELTA, POPULATIONS, Population, draw, lowest_fmr, tight
from measure import machine
from numpy.typing import NDArray
from scipy import stats

import facemargin as fm
from facemargin.evaluation import certified_upper_bound, certify_threshold
from facemargin.evaluation.metrics.certified_bound import largest_observed
from facemargin.evaluation.metrics.clustered_wilson import variance_of_pairs
from facemargin.features.embeddings_file import EmbeddingsFile

PEOPLE = 300
REAL = [(fmr, people) for fmr in (0.1, 5e-2, 1e-2, 1e-3) for people in (100, 300, 1000)]
ON_LFW = "## People drawn from LFW's folds 1 to 7 without replacement, SFace"
REAL_WORDS = (
    "Broken promises, as shares of the draws; beside them the median of the promised over the true FMR, and the share "
    'of genuine pairs that get "cannot tell" instead of "same" (every person alike), both by Clopper–Pearson / Wilson '
    "/ certified."
)
LOWEST = 0.1  # no threshold at an FMR of .1 is as low
CHECKED = 3  # draws whose thresholds are found by certify_threshold, too
METHODS = ("Clopper–Pearson on pairs", "Wilson, clustered variance", "certified")
AT_FIXED = {
    "homogeneous, FMR .01": Population(wolves=1, reach=0.01),
    "1 % wolves, match everybody": Population(wolves=0.01),
    "3 % wolves, p = .3": Population(wolves=0.03, reach=0.3),
    "10 % wolves, p = .05": Population(wolves=0.1, reach=0.05),
    ".3 % wolves, match everybody": Population(wolves=0.003),
    ".1 % wolves, match everybody": Population(wolves=0.001),
}


def counted_pairs(errors: int, pairs: int) -> float:
    return 1.0 if errors == pairs else float(stats.beta.ppf(1 - DELTA, errors + 1, pairs - errors))


def clustered(error_K: NDArray[np.bool_], a: NDArray[np.int64], b: NDArray[np.int64], people: int) -> float:
    sum_N = np.bincount(a[error_K], minlength=people) + np.bincount(b[error_K], minlength=people).astype(float)
    return wilson_bound(float(error_K.mean()), sum_N, int(error_K.sum()), len(error_K), people)


def wilson_bound(rate: float, sum_N: NDArray[np.float64], errors: int, pairs: int, people: int) -> float:
    worth = float(pairs)
    if 0 < rate < 1:
        variance = variance_of_pairs(sum_N, float(errors), np.full(people, people - 1), pairs, rate)
        worth = rate * (1 - rate) / variance
    z = stats.norm.ppf(1 - DELTA)
    root = math.sqrt(rate * (1 - rate) / worth + z**2 / (4 * worth**2))
    return (rate + z**2 / (2 * worth) + z * root) / (1 + z**2 / worth)


def at_fixed_threshold(population: Population, draws: int) -> list[float]:
    broken = np.zeros(3)
    for seed in range(draws):
        scores, a, b = draw(population, PEOPLE, seed)
        error_K = scores >= 1
        bounds = [
            counted_pairs(int(error_K.sum()), len(error_K)),
            clustered(error_K, a, b, PEOPLE),
            certified_upper_bound(error_K.mean(), PEOPLE // 2),
        ]
        broken += np.array(bounds) < population.high
    return list(broken / draws)


def lowest_with(bound: Callable[[NDArray[np.bool_]], float], scores: NDArray[np.float64], fmr: float) -> float:
    """The lowest threshold whose bound, which rises with the accepted pairs, is at most `fmr`."""
    sorted_K = np.sort(scores)[::-1]
    few, many = 0, len(scores)
    if bound(np.zeros(len(scores), bool)) > fmr:
        return np.inf
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if bound(scores >= sorted_K[middle - 1]) <= fmr else (few, middle)
    return float(np.nextafter(sorted_K[few], np.inf))


def thresholds(scores: NDArray[np.float64], a: NDArray[np.int64], b: NDArray[np.int64], people: int, fmr: float):
    """By the three methods; +inf where one refuses."""
    found = certify_threshold(scores, a == b, a, b, fmr).threshold
    return [
        lowest_with(lambda error_K: counted_pairs(int(error_K.sum()), len(error_K)), scores, fmr),
        lowest_with(lambda error_K: clustered(error_K, a, b, people), scores, fmr),
        np.inf if found is None else found,
    ]


def with_selection(population: Population, draws: int) -> list[float]:
    fmr, broken = lowest_fmr(PEOPLE), np.zeros(3)
    for seed in range(draws):
        scores, a, b = draw(population, PEOPLE, seed)
        broken += [population.true_fmr(limit) > fmr for limit in thresholds(scores, a, b, PEOPLE, fmr)]
    return list(broken / draws)


def of_two_bands(population: Population, draws: int, bands: int | list[float]) -> float:
    """FMR and FNMR. Two images of each person, of independent qualities: about 225 people have one in a band."""
    person_S = np.repeat(np.arange(PEOPLE), 2)
    first, second = np.triu_indices(len(person_S), 1)
    a, b, fmr, fnmr, broken = person_S[first], person_S[second], lowest_fmr(200, DELTA / 4), 0.15, 0
    for seed in range(draws):
        generator = np.random.default_rng((1, seed))
        quality_S, scores = generator.random(len(person_S)), population.sample(person_S, generator)[first, second]
        given = {"quality_a": quality_S[first], "quality_b": quality_S[second], "bands": bands}
        found = certify_threshold(scores, a == b, a, b, fmr, fnmr=fnmr, **given)
        wrong = [population.true_fmr(band.fmr.threshold) > fmr for band in found.bands]
        wrong += [population.true_fnmr(band.fnmr.threshold) > fnmr for band in found.bands if band.fnmr is not None]
        broken += any(wrong)
    return broken / draws


def of_four_bands(share: float, draws: int) -> float:
    """The FMR of four bands with 76 people each, every one promised at risk `share`, in the tightest population."""
    people, broken = 76, 0
    population, fmr = tight(people, share), lowest_fmr(people, share)
    first, second = np.triu_indices(4 * people, 1)
    quality_S = np.arange(4 * people) // people
    given = {"quality_a": quality_S[first], "quality_b": quality_S[second], "bands": [0.5, 1.5, 2.5]}
    for seed in range(draws):
        scores, a, b = draw(population, 4 * people, seed)
        found = certify_threshold(scores, a == b, a, b, fmr, confidence=1 - 4 * share, **given)
        broken += any(population.true_fmr(band.fmr.threshold) > fmr for band in found.bands)
    return broken / draws


class Truth:
    """Real people, and the rates of a threshold among all of them, everybody counted alike."""

    def __init__(self, embeddings: fm.evaluation.Embeddings, labels: NDArray[np.int64]) -> None:
        order = np.argsort(labels, kind="stable")
        vectors, person_S = embeddings.vectors[order], np.unique(labels[order], return_inverse=True)[1]
        self.images_N = np.bincount(person_S)
        self.people = len(self.images_N)
        self.starts_N = np.concatenate([[0], np.cumsum(self.images_N)[:-1]])
        self.scores_SS = vectors @ vectors.T
        row, column = np.nonzero(np.triu(person_S[:, None] != person_S, 1) & (self.scores_SS > LOWEST))
        scores_K = self.scores_SS[row, column]
        by_score = np.argsort(-scores_K)
        terms = self.people * (self.people - 1) / 2
        weight_K = 1 / (self.images_N[person_S[row]] * self.images_N[person_S[column]]) / terms
        self._descending_K, self._rate_K = -scores_K[by_score], np.cumsum(weight_K[by_score])
        several = np.flatnonzero(self.images_N > 1)
        self.genuine = [self._own(person) for person in several]
        self._genuine_G = np.concatenate(self.genuine)
        self._weight_G = np.concatenate([np.full(len(own), 1 / len(own) / len(several)) for own in self.genuine])

    def _own(self, person: int) -> NDArray[np.float32]:
        images = slice(self.starts_N[person], self.starts_N[person] + self.images_N[person])
        return self.scores_SS[images, images][np.triu_indices(self.images_N[person], 1)]

    def fmr(self, threshold: float) -> float:
        assert threshold > LOWEST, threshold
        place = int(np.searchsorted(self._descending_K, -threshold, side="right"))
        return float(self._rate_K[place - 1]) if place else 0.0

    def fnmr(self, threshold: float) -> float:
        return float(self._weight_G[self._genuine_G < threshold].sum())

    def sample(self, people: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Scores of one random image of each of so many people, drawn without replacement."""
        generator = np.random.default_rng((2, seed))
        chosen = generator.permutation(self.people)[:people]
        picked = self.starts_N[chosen] + generator.integers(self.images_N[chosen])
        first, second = np.triu_indices(people, 1)
        return self.scores_SS[picked[:, None], picked][first, second], first, second


def most_errors(bound: Callable[[int], float], pairs: int, fmr: float) -> int | None:
    """The largest number of errors whose bound is at most `fmr`; None if even none is too many."""
    few, many = 0, pairs
    if bound(0) > fmr:
        return None
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (middle, many) if bound(middle) <= fmr else (few, middle)
    return few


def next_above(descending_K: NDArray[np.float32], errors: int | None) -> float:
    """The lowest threshold with at most so many errors."""
    return np.inf if errors is None else float(np.nextafter(descending_K[errors], np.float32(9)))


def fast_thresholds(scores, first, second, people: int, fmr: float, counted: int | None) -> list[float]:
    """Those of `thresholds`, and the one that keeps the sample's own rate, of people with one image each. `counted`: by
    Clopper and Pearson, which does not depend on the scores."""
    pairs = len(scores)
    top = np.argpartition(-scores, min(pairs - 1, int(1.2 * fmr * pairs) + 10))[: int(1.2 * fmr * pairs) + 10]
    top = top[np.argsort(-scores[top])]
    descending_K, a, b = scores[top], first[top], second[top]

    def wilson(errors: int) -> float:
        rate = errors / pairs
        sum_N = np.bincount(a[:errors], minlength=people) + np.bincount(b[:errors], minlength=people).astype(float)
        return wilson_bound(rate, sum_N, errors, pairs, people)

    units = people // 2
    largest = largest_observed(fmr, units, DELTA)
    certified = None if largest is None else int(np.floor(largest * pairs * (1 + 1e-12)))
    errors = [int(fmr * pairs), counted, most_errors(wilson, int(1.1 * fmr * pairs), fmr), certified]
    return [next_above(descending_K, number) for number in errors]


def on_real_people(truth: Truth, draws: int) -> list[str]:
    """Every draw has one random image of each person, and the truth is the mean over all pairs of people."""
    lines = [
        "| FMR | people | own rate | " + " | ".join(METHODS) + " | promised / true FMR | genuine pairs: cannot tell |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for fmr, number in REAL:
        pairs = number * (number - 1) // 2
        counted = most_errors(lambda errors, pairs=pairs: counted_pairs(errors, pairs), pairs, fmr)
        limits_D4 = np.empty((draws, 4))
        for seed in range(draws):
            scores, first, second = truth.sample(number, seed)
            limits_D4[seed] = fast_thresholds(scores, first, second, number, fmr, counted)
            if seed < CHECKED:
                assert np.array_equal(limits_D4[seed, 1:], thresholds(scores, first, second, number, fmr)), (fmr, seed)
        given_D4 = np.isfinite(limits_D4)
        true_D4 = np.array([[truth.fmr(limit) for limit in limits] for limits in limits_D4])
        missed_D4 = np.array([[truth.fnmr(limit) for limit in limits] for limits in limits_D4])
        shares = [f"{share:.3f}" for share in (true_D4 > fmr).mean(axis=0)]
        price, cannot_tell = [], []
        for method in range(1, 4):
            kept_D = given_D4[:, method]
            if not kept_D.all():
                shares[method] = f"refused in {1 - kept_D.mean():.0%}"
            price.append(f"{np.median(fmr / np.maximum(true_D4[kept_D, method], 1e-12)):.2f}" if kept_D.any() else "–")
            cannot_tell.append(f"{100 * missed_D4[kept_D, method].mean():.2f} %" if kept_D.any() else "100 %")
        cells = " | ".join([*shares, " / ".join(price), " / ".join(cannot_tell)])
        lines.append(f"| {fmr:g} | {number:,} | {cells} |")
        print(lines[-1], flush=True)
    return lines


def table(title: str, rows: dict[str, list[float]]) -> list[str]:
    head = [f"| {title} | " + " | ".join(METHODS) + " |", "|---|---|---|---|"]
    return head + [
        f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |" for name, shares in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--lfw", metavar="FOLDER", help="only 4.: a folder with one folder of aligned faces per person")
    parser.add_argument("--embeddings", metavar="FILE", help="what facemargin embed sface FOLDER --views one stored")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    target = Path(__file__).with_name("results") / "certified_coverage.md"
    simulated, _, of_lfw = target.read_text(encoding="utf-8").partition(ON_LFW)
    if args.lfw:
        lines = on_real_people(lfw(args.lfw, args.embeddings), args.draws)
        head = f"{args.draws:,} draws for every row; {machine()}; {datetime.now(UTC):%Y-%m-%d}. {REAL_WORDS}"
        of_lfw = "\n".join(["", "", head, "", *lines, ""])
    else:
        simulated = "\n".join([*simulations(args.draws), "", ""])
    if args.write:
        target.write_text(simulated + ON_LFW + of_lfw, encoding="utf-8")


def lfw(folder: str, stored: str | None) -> Truth:
    images = fm.open_images(folder)
    if stored is not None:
        return Truth(EmbeddingsFile(Path(stored)).embed(images), images.labels)
    return Truth(fm.load("sface").embed(images, views="one"), images.labels)


def simulations(draws: int) -> list[str]:
    lines = ["## At a fixed threshold", ""]
    lines += table("population", {name: at_fixed_threshold(population, draws) for name, population in AT_FIXED.items()})
    print("\n".join(lines), flush=True)
    populations = POPULATIONS | {"tight": tight(PEOPLE)}
    more = ["", f"## With the threshold chosen on the same people, FMR {lowest_fmr(PEOPLE):.4f}", ""]
    more += table("population", {name: with_selection(population, draws) for name, population in populations.items()})
    print("\n".join(more), flush=True)
    lines += more
    with_goats = {name: Population(p.wolves, p.reach, goats=0.1) for name, p in POPULATIONS.items()}
    with_goats["tight for 200 people"] = Population(tight(200, DELTA / 4).wolves, goats=0.1)
    more = ["", "## Two bands of quality, FMR and FNMR: any of the four promises", ""]
    more += ["| population | edge chosen beforehand | edge at the median |", "|---|---|---|"]
    for name, population in with_goats.items():
        shares = [of_two_bands(population, draws // 4, bands) for bands in ([0.5], 2)]
        more.append(f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    print("\n".join(more), flush=True)
    lines += more
    more = [
        "",
        "## Four bands, FMR, tight: any of the four promises",
        "",
        "| risk of each band | broken |",
        "|---|---|",
    ]
    more += [f"| {name} | {of_four_bands(share, draws):.3f} |" for name, share in (("δ/4", DELTA / 4), ("δ", DELTA))]
    print("\n".join(more), flush=True)
    lines += more
    head = [
        "# How often a promise about an error rate is broken",
        "",
        f"`python benchmarks/certified_coverage.py`: {draws:,} samples of {PEOPLE} people each (a quarter of "
        f"them for two bands), promise 95 %; {machine()}; {datetime.now(UTC):%Y-%m-%d}. Shares of the samples.",
        "",
    ]
    return [*head, *lines]


if __name__ == "__main__":
    main()
