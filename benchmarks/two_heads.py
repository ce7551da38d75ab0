"""Does one head's recogniser beat another's, once the seed of the training and the choice of test people are both
allowed for? OUTPUT is what `facemargin compare RECIPE --heads A,B --seeds N` wrote.

For every seed the difference of the TARs, with people as the unit (`paired_difference`), p-values adjusted for all
seeds and FARs together; then the mean over the seeds with its 95 % interval by Student's t, which is what another
training would show.

    python benchmarks/two_heads.py OUTPUT A B [--fars 0.1 0.01]
"""

import argparse
import statistics
from pathlib import Path

from rich.console import Console

import facemargin as fm
from facemargin.tables import Table

# of 97.5 %, for 1, 2, … degrees of freedom
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("first", metavar="A")
    parser.add_argument("second", metavar="B")
    parser.add_argument("--fars", nargs="+", type=float, default=[0.1, 0.01])
    args = parser.parse_args()
    for folder in sorted(path for path in (args.output / "evaluation").iterdir() if path.is_dir()):
        show(folder, args.first, args.second, args.fars)


def show(folder: Path, a: str, b: str, fars: list[float]) -> None:
    """The differences on one test set."""
    found = {}
    for path in sorted(folder.glob(f"{a}-seed-*.npz")):
        seed = path.stem.removeprefix(f"{a}-seed-")
        other = folder / f"{b}-seed-{seed}.npz"
        if other.exists():
            first, second = (fm.evaluation.PairScores.load(file) for file in (path, other))
            people = first.identities_a_K, first.identities_b_K
            found[seed] = fm.evaluation.paired_difference(
                first.scores_K, second.scores_K, first.same_K, *people, fars
            ).points
    adjusted = iter(fm.evaluation.holm([point.p_value for points in found.values() for point in points]))
    table = Table(title=f"{folder.name}: {first.same_K.sum():,} genuine and {(~first.same_K).sum():,} impostor pairs")
    for heading in ("FAR", "seed", a, b, "difference", "95 % of people", "p, all"):
        table.add_column(heading, justify="right")
    rows = []
    for seed, points in found.items():
        for point in points:
            interval = "–" if point.interval is None else f"{point.interval[0]:+.1%} to {point.interval[1]:+.1%}"
            numbers = [f"{point.first.tar:.1%}", f"{point.second.tar:.1%}", f"{point.difference:+.1%}", interval]
            rows.append((point.target_far, [f"{point.target_far:g}", seed, *numbers, f"{next(adjusted):.3f}"]))
    for far in fars:
        for row_far, row in rows:
            if row_far == far:
                table.add_row(*row)
        differences = [point.difference for points in found.values() for point in points if point.target_far == far]
        if len(differences) > 1:
            half = STUDENT[len(differences) - 2] * statistics.stdev(differences) / len(differences) ** 0.5
            mean = statistics.fmean(differences)
            at_far = [point for points in found.values() for point in points if point.target_far == far]
            tars = [statistics.fmean(point.first.tar for point in at_far)]
            tars.append(statistics.fmean(point.second.tar for point in at_far))
            spread = f"{mean - half:+.1%} to {mean + half:+.1%} of seeds"
            table.add_row(f"{far:g}", "mean", *(f"{tar:.1%}" for tar in tars), f"{mean:+.1%}", spread, "")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
