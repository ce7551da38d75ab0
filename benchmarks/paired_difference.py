"""The paired bootstrap of a difference of TARs: IJB's size in seconds, and whether its intervals keep their promise.

Claims: 1,000 resamples of 15.6 million pairs of 3,531 people, two systems, six FARs, in at most 30 s on one thread and
1.5 GB; 95 % intervals cover the true difference in 93 to 98 % of samples; equal systems differ in 2 to 7 %; the
unbiased variance of a FAR is that among samples.

`python benchmarks/paired_difference.py [part …]`; parts: size, coverage, variance, methods. DRAWS in the environment:
how many samples each row of coverage, variance and methods rests on. Shapes: K pairs, S people, F FARs.
"""

import os
import resource
import sys
import time
from statistics import NormalDist

import numpy as np
from measure import machine

from facemargin.evaluation import Bootstrap
from facemargin.evaluation.metrics.bootstrap import identity_multiplicities
from facemargin.evaluation.metrics.method_difference import method_difference
from facemargin.evaluation.metrics.pair_variance import Accepted, PairGraph
from facemargin.evaluation.metrics.paired_difference import paired_difference, tar_differences
from facemargin.evaluation.metrics.resampled_tar import PeoplePairs
from facemargin.evaluation.metrics.shared_pairs import SharedPairs
from facemargin.evaluation.metrics.sorted_scores import SortedPairs
from facemargin.evaluation.metrics.tar_at_far import operating_points

PEOPLE, PROBES, IMPOSTORS, GENUINE = 3_531, 19_593, 15_638_932, 19_557
FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
SIMULATED_FARS = (1e-3, 1e-2, 1e-1)
DRAWS = int(os.environ.get("DRAWS", "500"))


def main() -> None:
    print(f"{machine()}; numpy {np.__version__}")
    parts = {"size": size, "coverage": coverage, "variance": variance, "methods": methods}
    for part in sys.argv[1:] or parts:
        parts[part]()


def size() -> None:
    """Templates as in IJB-C: one of each person in the gallery, against all probes."""
    rng = np.random.default_rng(0)
    probe_person = rng.integers(0, PEOPLE, PROBES)
    drawn = np.flatnonzero(rng.random(PEOPLE * PROBES, dtype=np.float32) < IMPOSTORS / (PEOPLE * PROBES))
    a_K, b_K = (drawn // PROBES).astype(np.int32), probe_person[drawn % PROBES].astype(np.int32)
    strangers = a_K != b_K
    mates = rng.integers(0, PEOPLE, GENUINE).astype(np.int32)
    a_K, b_K = np.concatenate([a_K[strangers], mates]), np.concatenate([b_K[strangers], mates])
    same_K = a_K == b_K
    wolf_S = (0.05 * rng.standard_normal(PEOPLE)).astype(np.float32)

    def scores() -> np.ndarray:
        noise_K = np.float32(0.1) * rng.standard_normal(len(a_K), dtype=np.float32)
        return np.asarray(noise_K + wolf_S[a_K] + wolf_S[b_K] + np.float32(0.6) * same_K)

    scores_K, other_K = scores(), scores()
    del drawn, strangers
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    processor, wall = time.process_time(), time.perf_counter()
    paired_difference(scores_K, other_K, same_K, a_K, b_K, FARS, Bootstrap(1000))
    processor, wall = time.process_time() - processor, time.perf_counter() - wall
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(a_K):,} pairs: {processor:.1f} processor seconds, {wall:.1f} s, {before:.0f} MB before, {peak:.0f} MB")
    # as simply as possible: all scores sorted anew in each resample
    resamples = list(identity_multiplicities(PEOPLE, Bootstrap(3)))
    processor = time.process_time()
    for drawn_S in resamples:
        weights_K = drawn_S[a_K] * np.where(same_K, 1, drawn_S[b_K])
        for values_K in (scores_K, other_K):
            operating_points(SortedPairs.of(values_K, same_K, weights_K), FARS)
    processor = (time.process_time() - processor) / len(resamples)
    print(f"sorted anew: {processor:.1f} processor seconds a resample")


def population(
    rng: np.random.Generator, people: int, images: int, wolves: float, shifts: tuple[float, float]
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    """Scores of two systems that share half of their variance, on all pairs. `wolves`: how much people differ in how
    many others they match."""
    ids = np.repeat(np.arange(people), images)
    first_K, second_K = np.triu_indices(len(ids), 1)
    a_K, b_K = ids[first_K], ids[second_K]
    same_K = a_K == b_K
    noise_K, wolf_S, hard_S = (rng.standard_normal(n) for n in (len(a_K), people, people))
    systems = []
    for shift in shifts:
        own = [np.sqrt(0.5) * (x + rng.standard_normal(len(x))) for x in (noise_K, wolf_S, hard_S)]
        impostor_K = own[0] + wolves * (own[1][a_K] + own[1][b_K])
        systems.append(np.where(same_K, shift + own[0] + 0.7 * own[2][a_K], impostor_K))
    return systems, same_K, a_K, b_K


def true_tar(shift: float, wolves: float, far: float) -> float:
    threshold = NormalDist(0, np.sqrt(1 + 2 * wolves**2)).inv_cdf(1 - far)
    return 1 - NormalDist(shift, np.sqrt(1.49)).cdf(threshold)


def coverage() -> None:
    print("people × images, wolves, true difference, FAR: covered, rescaled; p ≤ .05, rescaled; variances / true")
    for people, images, wolves in ((60, 3, 0.0), (60, 3, 0.5), (200, 2, 0.3)):
        for shifts in ((4.0, 4.0), (4.0, 3.5)):
            truth_F = [true_tar(shifts[0], wolves, far) - true_tar(shifts[1], wolves, far) for far in SIMULATED_FARS]
            covered, found = np.zeros((3, 2)), np.zeros((3, 2))
            differences, naive, unbiased, used = [], [], [], []
            for draw in range(DRAWS):
                systems, same_K, a_K, b_K = population(np.random.default_rng((1, draw)), people, images, wolves, shifts)
                shared = SharedPairs(same_K, a_K, b_K, SIMULATED_FARS, Bootstrap(400, seed=draw))
                rates = [shared.system(scores_K) for scores_K in systems]
                for column, rescale in enumerate((False, True)):
                    points = tar_differences(shared, *rates, rescale=rescale).points
                    for row, point in enumerate(points):
                        low, high = point.interval or (np.nan, np.nan)
                        covered[row, column] += low <= truth_F[row] <= high
                        found[row, column] += point.p_value <= 0.05
                differences.append([point.difference for point in points])
                naive.append([point.variance for point in points])
                used.append([point.variance * point.scale**2 for point in points])
                unbiased.append([point.unbiased_variance for point in points])
            true_F = np.var(differences, axis=0, ddof=1)
            ratios = [np.mean(kind, axis=0) / true_F for kind in (naive, unbiased, used)]
            for row, far in enumerate(SIMULATED_FARS):
                shares = [*(covered[row] / DRAWS), *(found[row] / DRAWS)]
                cells = [f"{people} × {images}", f"{wolves}", f"{truth_F[row]:.3f}", f"{far:g}"]
                cells += [f"{share:.3f}" for share in shares] + [f"{ratio[row]:.2f}" for ratio in ratios]
                print(f"| {' | '.join(cells)} |", flush=True)


def variance() -> None:
    """The variance of a FAR at a fixed threshold: among resamples and unbiased, over the true one."""
    people, rate = 300, 1e-3
    a_K, b_K = np.triu_indices(people, 1)
    same_K = np.zeros(len(a_K), dtype=bool)
    graph = PairGraph(PeoplePairs(np.append(same_K, True), np.append(a_K, 0), np.append(b_K, 0), people))
    for share, matches in ((0.0, 0.0), (0.05, 0.05), (0.05, 0.5)):
        naive, unbiased = [], []
        mean = rate + (1 - (1 - share) ** 2) * max(matches - rate, 0)
        shared = share * (1 - share) ** 3 * max(matches - rate, 0) ** 2  # ζ₁: Var E(h_ij | i)
        true = (4 * (people - 2) * shared + 2 * mean * (1 - mean)) / (people * (people - 1))
        for draw in range(DRAWS):
            rng = np.random.default_rng((2, draw))
            wolf_S = rng.random(people) < share
            chance_K = np.where(wolf_S[a_K] | wolf_S[b_K], np.maximum(matches, rate), rate)
            accepted_K = rng.random(len(a_K)) < chance_K
            a_N, b_N = a_K[accepted_K], b_K[accepted_K]
            drawn_RS = np.array(list(identity_multiplicities(people, Bootstrap(200, seed=draw))))
            pairs_R = (drawn_RS.sum(axis=1) ** 2 - (drawn_RS**2).sum(axis=1)) / 2
            naive.append(np.var((drawn_RS[:, a_N] * drawn_RS[:, b_N]).sum(axis=1) / pairs_R, ddof=1))
            unbiased.append(graph.variance(np.zeros(people), [Accepted(a_N, b_N, 1.0)]))
        print(
            f"{share:.0%} wolves who match {matches:.0%}: {np.mean(naive) / true:.2f}, {np.mean(unbiased) / true:.2f}"
        )


def methods() -> None:
    """The intervals of `method_difference`: other people and other seeds in each sample."""
    print("people × images, seeds, their spread, of both, true difference, FAR; covered; p ≤ .05; variance / true")
    for people, images, seeds, spread, common in (
        (40, 3, 5, 0.0, 0.0),
        (40, 3, 5, 0.2, 0.0),
        (100, 2, 3, 0.1, 0.4),
        (100, 2, 5, 0.1, 0.4),
    ):
        for shifts in ((3.0, 3.0), (3.0, 2.6)):
            points = []
            for draw in range(DRAWS):
                rng = np.random.default_rng((3, draw))
                given = trainings(rng, people, images, seeds, (spread, common), shifts)
                points.append(method_difference(*given, (0.01, 0.1), Bootstrap(200, seed=draw)).points)
            for place, far in enumerate((0.01, 0.1)):
                truth = trained_tar(shifts[0], spread, common, far) - trained_tar(shifts[1], spread, common, far)
                found = [point[place] for point in points]
                covered = np.mean([low <= truth <= high for low, high in (p.interval or (0, 0) for p in found)])
                called = np.mean([point.p_value <= 0.05 for point in found])
                stated = np.mean([point.people_error**2 + point.seeds_error**2 for point in found])
                ratio = stated / np.var([point.difference for point in found], ddof=1)
                cells = [f"{people} × {images}", seeds, spread, common, f"{truth:.3f}", f"{far:g}"]
                print(f"| {' | '.join(map(str, cells))} | {covered:.3f} | {called:.3f} | {ratio:.2f} |", flush=True)


def trainings(
    rng: np.random.Generator,
    people: int,
    images: int,
    seeds: int,
    spreads: tuple[float, float],
    shifts: tuple[float, float],
) -> list[np.ndarray]:
    """Scores (seeds, K) of two methods, and who is in the pairs. What is hard about a person is partly the same for
    all, partly a method's and partly a training's; trainings differ by `spreads` in how well they separate, by the
    second for both methods alike."""
    ids = np.repeat(np.arange(people), images)
    first_K, second_K = np.triu_indices(len(ids), 1)
    a_K, b_K = ids[first_K], ids[second_K]
    same_K = a_K == b_K
    noise_K, hard_S = rng.standard_normal(len(a_K)), rng.standard_normal(people)
    common = spreads[1] * rng.standard_normal(seeds)
    methods = []
    for shift in shifts:
        of_method_S = 0.5 * hard_S + 0.5 * rng.standard_normal(people)
        rows = []
        for seed in range(seeds):
            own_K = 0.7 * noise_K + np.sqrt(0.51) * rng.standard_normal(len(a_K))
            easy_S = shift + common[seed] + spreads[0] * rng.standard_normal() + of_method_S
            easy_S = easy_S + 0.5 * rng.standard_normal(people)
            rows.append(own_K + np.where(same_K, easy_S[a_K], 0))
        methods.append(np.array(rows))
    return [*methods, same_K, a_K, b_K]


def trained_tar(shift: float, spread: float, common: float, far: float) -> float:
    """The mean TAR over trainings."""
    return 1 - NormalDist(shift, np.sqrt(1.75 + spread**2 + common**2)).cdf(NormalDist().inv_cdf(1 - far))


if __name__ == "__main__":
    main()
