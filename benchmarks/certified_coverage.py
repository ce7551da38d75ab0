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
from facemargin.evaluation.metrics.clustered_wilson import variance_of_pairs

PEOPLE = 300
REAL = ((5e-2, 300), (1e-2, 100), (1e-2, 300), (1e-2, 1000), (1e-3, 100), (1e-3, 300), (1e-3, 1000))
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
    rate = float(error_K.mean())
    sum_N = np.bincount(a[error_K], minlength=people) + np.bincount(b[error_K], minlength=people).astype(float)
    pairs = float(len(error_K))
    if 0 < rate < 1:
        variance = variance_of_pairs(sum_N, float(error_K.sum()), np.full(people, people - 1), len(error_K), rate)
        pairs = rate * (1 - rate) / variance
    z = stats.norm.ppf(1 - DELTA)
    root = math.sqrt(rate * (1 - rate) / pairs + z**2 / (4 * pairs**2))
    return (rate + z**2 / (2 * pairs) + z * root) / (1 + z**2 / pairs)


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


def real(folder: str, draws: int) -> list[str]:
    images = fm.open_images(folder)
    embeddings = fm.load("sface").embed(images, views="one")
    return drawn_people(embeddings, images.labels, draws)


def drawn_people(embeddings: fm.evaluation.Embeddings, labels: NDArray[np.int64], draws: int) -> list[str]:
    """Every draw has one random image of each person, and the truth is the mean over all image pairs of two people."""
    order = np.argsort(labels, kind="stable")
    vectors, person_S = embeddings.vectors[order], np.unique(labels[order], return_inverse=True)[1]
    people = int(person_S.max()) + 1
    per_person = np.bincount(person_S)
    scores_SS = vectors @ vectors.T
    row, column = np.nonzero(np.triu(person_S[:, None] != person_S, 1) & (scores_SS > 0.15))
    scores_K = scores_SS[row, column]
    by_score = np.argsort(-scores_K)
    weight_K = 1 / (per_person[person_S[row]] * per_person[person_S[column]]) / (people * (people - 1) / 2)
    descending_K, rate_K = -scores_K[by_score], np.cumsum(weight_K[by_score])

    def true_fmr(threshold: float) -> float:
        place = int(np.searchsorted(descending_K, -threshold, side="right"))
        return float(rate_K[place - 1]) if place else 0.0

    starts = np.concatenate([[0], np.cumsum(per_person)[:-1]])
    lines = [
        "| FMR | people | draws | own rate | "
        + " | ".join(METHODS)
        + " | certified / true FMR | FNMR certified / own |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    genuine = np.concatenate(
        [scores_SS[s : s + n, s : s + n][np.triu_indices(n, 1)] for s, n in zip(starts, per_person, strict=True)]
    )
    for fmr, number in REAL:
        broken, price, missed, refused = np.zeros(4), [], [], 0
        for seed in range(draws):
            generator = np.random.default_rng((2, seed))
            chosen = generator.permutation(people)[:number]
            picked = starts[chosen] + generator.integers(per_person[chosen])
            first, second = np.triu_indices(number, 1)
            scores = scores_SS[picked[first], picked[second]]
            own = float(np.nextafter(np.sort(scores)[::-1][int(fmr * len(scores))], np.float32(9)))
            limits = [own, *thresholds(scores, first, second, number, fmr)]
            broken += [true_fmr(limit) > fmr for limit in limits]
            if np.isinf(limits[-1]):
                refused += 1
            else:
                price.append(fmr / max(true_fmr(limits[-1]), 1e-12))
                missed.append(((genuine < limits[-1]).mean(), (genuine < own).mean()))
        shares = [f"{share:.3f}" for share in broken / draws]
        if refused:
            shares[-1] = f"refused in {refused / draws:.0%}"
        cost = f"{np.median(price):.2f}" if price else "–"
        lost = " / ".join(f"{100 * x:.2f} %" for x in np.mean(missed, axis=0)) if missed else "–"
        lines.append(f"| {fmr:g} | {number:,} | {draws:,} | {' | '.join(shares)} | {cost} | {lost} |")
    return lines


def table(title: str, rows: dict[str, list[float]]) -> list[str]:
    head = [f"| {title} | " + " | ".join(METHODS) + " |", "|---|---|---|---|"]
    return head + [
        f"| {name} | " + " | ".join(f"{share:.3f}" for share in shares) + " |" for name, shares in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--lfw", metavar="FOLDER", help="a folder with one folder of aligned faces per person")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    draws = args.draws
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
    if args.lfw:
        more = [
            "",
            "## People drawn from LFW's folds 1 to 7 without replacement, SFace",
            "",
            *real(args.lfw, min(draws, 400)),
        ]
        print("\n".join(more), flush=True)
        lines += more
    if args.write:
        head = [
            "# How often a promise about an error rate is broken",
            "",
            f"`python benchmarks/certified_coverage.py`: {draws:,} samples of {PEOPLE} people each (a quarter of "
            f"them for two bands), promise 95 %; {machine()}; {datetime.now(UTC):%Y-%m-%d}. Shares of the samples.",
            "",
        ]
        target = Path(__file__).with_name("results") / "certified_coverage.md"
        target.write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
