"""Does training again without what the audit of the log found help, more than without as many images at random?

Claim: with wrong labels in the set, a network trained without the audit's findings is better on other people than
one trained on all images, and than one trained without as many images drawn at random.

    python benchmarks/audit_retraining.py WORK LFW [--rate 0.2] [--seeds 0 1 2] [--without audit random]

WORK is where `audit_logs.py train` has trained on labels swapped uniformly; the audit is of those runs, its findings
from --drop-from on are left out, and the recipe is the same. LFW is a verification set of other people. What is trained
is kept in WORK.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
import torch
from measure import machine
from planted_logs import RECIPE, name_of
from rich.console import Console
from two_heads import STUDENT

import facemargin as fm
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.training_images import open_training_images

KINDS = ("audit", "random")
ROWS = {
    "all images": "all images",
    "audit": "all but what the audit found",
    "random": "all but as many drawn at random",
}
FIGURES = ("accuracy", "EER", "TAR at FAR 10 %", "TAR at FAR 1 %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("lfw")
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--without", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--drop-from", type=float, default=0.5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("all images", *arguments.without)}
    for seed in arguments.seeds:
        folder = arguments.work / name_of("uniformly", arguments.rate, seed)
        found["all images"].append(scored(folder / "run", arguments.lfw))
        for kind in arguments.without:
            found[kind].append(scored(trained_without(kind, folder, seed, arguments.drop_from), arguments.lfw))
        print(f"seed {seed}: " + "; ".join(f"{name} {values[-1]}" for name, values in found.items()), flush=True)
    print(f"\n{machine()}; {len(arguments.seeds)} seeds, {100 * arguments.rate:g} % of the labels swapped uniformly\n")
    print_figures(found)


def trained_without(kind: str, folder: Path, seed: int, drop_from: float) -> Path:
    """The run without some images of the list in `folder`."""
    audit = folder / "audit"
    if not (audit / "audit.json").exists():
        fm.audit(folder / "run").save(audit)
    data = {"train": str(folder / "list.txt"), "workers": 0, "cache_decoded": True}
    dropping = {**data, "drop_suspects": str(audit), "drop_from": drop_from}
    cleaned = open_training_images(recipe_from_mapping({**RECIPE, "data": dropping}, "RECIPE"))
    images = fm.open_images(folder / "list.txt")
    with np.load(folder / "truth.npz") as truth:
        wrong_N = truth["wrong"] | truth["fake"]
    kept = {cleaned.describe(image) for image in range(len(cleaned))}
    kept_N = np.array([images.describe(image) in kept for image in range(len(images))])
    print(
        f"{folder.name}: {(~kept_N).sum()} of {len(images)} images left out, "
        f"{wrong_N[~kept_N].sum()} of {wrong_N.sum()} wrong ones among them"
    )
    if kind == "random":
        lines = (folder / "list.txt").read_text().splitlines(keepends=True)
        chosen = np.random.default_rng([seed, 3]).permutation(len(lines))[: len(cleaned)]
        (folder / "random.txt").write_text("".join(lines[image] for image in np.sort(chosen)))
        dropping = {**data, "train": str(folder / "random.txt")}
    run = folder / (f"without-{kind}" + f"-{drop_from:g}")
    if not (run / "model.safetensors").exists():
        recipe = recipe_from_mapping({**RECIPE, "data": dropping, "recorder": False, "seed": seed}, "RECIPE")
        if not fm.train(recipe, run, console=Console(quiet=True), resume=run.exists()):
            raise SystemExit(f"{run} was interrupted")
    return run


def scored(run: Path, lfw: str) -> dict[str, float]:
    kept = run / "lfw.json"
    if not kept.exists():
        scores = fm.evaluation.evaluate_verification(fm.load(run).embed, fm.open_verification(lfw), run.name)
        summary = fm.evaluation.summarize(scores, bootstrap=None)
        assert summary.accuracy is not None
        tars = fm.evaluation.tar_at_far(scores.scores_K, scores.same_K, [0.1, 0.01]).tar
        values = [summary.accuracy.mean, summary.roc.eer, *tars.values()]
        kept.write_text(json.dumps(dict(zip(FIGURES, map(float, values), strict=True))))
    return dict(json.loads(kept.read_text()))


def print_figures(found: dict[str, list[dict[str, float]]]) -> None:
    print("| trained on | " + " | ".join(FIGURES) + " |\n" + "|---" * (len(FIGURES) + 1) + "|")
    for name, of_seeds in found.items():
        print(
            f"| {ROWS[name]} | " + " | ".join(interval([one[figure] for one in of_seeds]) for figure in FIGURES) + " |"
        )
    if "audit" not in found:
        return
    for name in found:
        if name != "audit":
            differences = {
                figure: [a[figure] - b[figure] for a, b in zip(found["audit"], found[name], strict=True)]
                for figure in FIGURES
            }
            print(f"| audit less {name} | " + " | ".join(interval(differences[figure]) for figure in FIGURES) + " |")


def interval(values: list[float]) -> str:
    """The mean, and half of its 95 % interval by Student's t."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return f"{mean:+.4f}"
    half = STUDENT[len(values) - 2] * statistics.stdev(values) / len(values) ** 0.5
    return f"{mean:.4f} ± {half:.4f}"


if __name__ == "__main__":
    main()
