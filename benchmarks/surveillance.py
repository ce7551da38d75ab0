"""Surveillance pictures against mugshots: what a recogniser's quality is worth, and how much it has to refuse.

MUGSHOTS and SURVEILLANCE are folders with one folder per person, of the same people, as `facemargin align` writes them.
A person's template is the mean of the unit vectors of the mugshots; every surveillance picture is compared with every
template. First rank 1 and TAR by quartile of the picture's quality. Then the share of surveillance pictures that has to
be refused, the poorest first, until at most a tenth of the genuine comparisons of the rest fail.

    python benchmarks/surveillance.py MUGSHOTS SURVEILLANCE [--model sface] [--figure surveillance.svg]

Shapes: P people, N pictures, D values of an embedding.
"""

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console

import facemargin as fm
from facemargin.decision import shipped_calibration
from facemargin.report.style import MUTED, STYLE, line_styles, percent_ticks
from facemargin.report.svg import figure_svg
from facemargin.tables import Table

FARS = (0.1, 0.01)
FMRS = (0.01, 0.001)
LARGEST_FNMR = 0.1
BANDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mugshots", type=Path)
    parser.add_argument("surveillance", type=Path)
    parser.add_argument("--model", default="sface")
    parser.add_argument("--figure", type=Path, help="an .svg of the rates, without faces")
    args = parser.parse_args()
    model = fm.load(args.model)
    enrolled, probes = fm.open_images(args.mugshots), fm.open_images(args.surveillance)
    names = list(enrolled.identity_names)
    mate_N = np.array([names.index(probes.identity_names[label]) for label in probes.labels])
    template_PD = templates(model.embed(enrolled, views="one").vectors, np.asarray(enrolled.labels), len(names))
    probe = model.embed(probes, views="one")
    scores_NP = probe.vectors @ template_PD.T
    same_NP = mate_N[:, None] == np.arange(len(names))
    console = Console(width=120)
    console.print(
        f"{args.model}: {len(names)} people, {len(enrolled):,} mugshots, {len(probes):,} surveillance pictures"
    )
    console.print(bands_table(scores_NP, same_NP, mate_N, probe.quality))
    console.print(refusal_table(model, scores_NP, same_NP, probe.quality))
    if args.figure is not None:
        label = "Rates on surveillance pictures by quality, and false non-matches against the share refused"
        svg = figure_svg(figure(scores_NP, same_NP, mate_N, probe.quality), "surveillance", label)
        args.figure.write_text(f"{svg}\n", encoding="utf-8")


def templates(vectors_ND: NDArray[np.float32], person_N: NDArray[np.int64], people: int) -> NDArray[np.float32]:
    """The normalised mean (P, D) of each person's vectors."""
    mean_PD = np.stack([vectors_ND[person_N == person].mean(axis=0) for person in range(people)])
    return mean_PD / np.linalg.norm(mean_PD, axis=1, keepdims=True)


def bands_table(
    scores_NP: NDArray[np.float32],
    same_NP: NDArray[np.bool_],
    mate_N: NDArray[np.int64],
    quality_N: NDArray[np.float32],
) -> Table:
    """Rank 1 and TAR of each quartile of quality. The thresholds are those of all pictures together."""
    table = Table("pictures", "quality", "rank 1", *(f"TAR at FAR {far:g}" for far in FARS))
    points = fm.evaluation.tar_at_far(scores_NP.ravel(), same_NP.ravel(), FARS).points
    mate_score_N = scores_NP[same_NP]
    found_N = scores_NP.argmax(axis=1) == mate_N
    poorest_first = np.argsort(quality_N, kind="stable")
    for title, chosen in [
        *((f"quartile {k + 1}", part) for k, part in enumerate(np.array_split(poorest_first, BANDS))),
        ("all", poorest_first),
    ]:
        low, high = quality_N[chosen].min(), quality_N[chosen].max()
        tars = (f"{np.mean(mate_score_N[chosen] >= point.threshold):.3f}" for point in points)
        table.add_row(f"{title} ({len(chosen)})", f"{low:.2f} to {high:.2f}", f"{found_N[chosen].mean():.3f}", *tars)
    return table


def refusal_table(
    model: fm.Model, scores_NP: NDArray[np.float32], same_NP: NDArray[np.bool_], quality_N: NDArray[np.float32]
) -> Table:
    """What has to be refused at each threshold: at the calibration's own quality floor, and at the lowest floor with
    few enough false non-matches among the rest."""
    table = Table("threshold", "floor", "refused", "FNMR of the decided", "FMR of the decided")
    table.title = f"at most {LARGEST_FNMR:g} of the genuine comparisons of the decided pictures may fail"
    points = fm.evaluation.tar_at_far(scores_NP.ravel(), same_NP.ravel(), FARS).points
    thresholds = [(f"{p.threshold:.3f}, FAR {p.target_far:g} here", p.threshold, None) for p in points]
    calibration = shipped_calibration(model)
    if calibration is not None:
        thresholds += [
            (f"{at.threshold:.3f}, calibrated FMR {fmr:g}", at.threshold, at.quality_floor)
            for fmr in FMRS
            for at in [calibration.at(fmr)]
        ]
    for title, threshold, calibrated in thresholds:
        missed_N = scores_NP[same_NP] < threshold
        accepted_N = np.mean(scores_NP >= threshold, axis=1, where=~same_NP)
        floors = [("none", -np.inf)]
        floors += [("calibration", calibrated)] if calibrated is not None else []
        floors += [("needed", needed_floor(missed_N, quality_N))]
        for name, floor in floors:
            decided_N = quality_N >= floor
            value = name if not np.isfinite(floor) else f"{name}, {floor:.2f}"
            refused = f"{1 - decided_N.mean():.3f}"
            if not decided_N.any():
                table.add_row(title, value, refused, "nothing decided", "")
                continue
            table.add_row(
                title, value, refused, f"{missed_N[decided_N].mean():.3f}", f"{accepted_N[decided_N].mean():.4f}"
            )
    return table


@mpl.rc_context(STYLE)
def figure(
    scores_NP: NDArray[np.float32],
    same_NP: NDArray[np.bool_],
    mate_N: NDArray[np.int64],
    quality_N: NDArray[np.float32],
) -> Figure:
    """Left, rank 1 and TAR by quartile of quality. Right, the FNMR of the pictures that are left when the poorest are
    refused, and when as many are refused at random."""
    drawn = Figure(figsize=(7.6, 3.1))
    by_band, by_share = drawn.subplots(1, 2)
    point = fm.evaluation.tar_at_far(scores_NP.ravel(), same_NP.ravel(), FARS[-1]).points[0]
    missed_N = scores_NP[same_NP] < point.threshold
    found_N = scores_NP.argmax(axis=1) == mate_N
    poorest_first = np.argsort(quality_N, kind="stable")
    bands = np.array_split(poorest_first, BANDS)
    names = ("rank 1", f"TAR at FAR {point.target_far:.0%}")
    styles = line_styles(names)
    for k, (name, hit_N) in enumerate(zip(names, (found_N, ~missed_N), strict=True)):
        heights = [float(hit_N[band].mean()) for band in bands]
        places = np.arange(BANDS) + 0.4 * k - 0.2
        by_band.bar(places, heights, 0.36, color=styles[name].color, label=name)
        for place, height in zip(places, heights, strict=True):
            by_band.text(place, height + 0.01, f"{height:.0%}", ha="center", va="bottom", fontsize=8)
    ticks = [f"{quality_N[band].min():.1f} to\n{quality_N[band].max():.1f}" for band in bands]
    by_band.set_xticks(range(BANDS), ticks)
    by_band.set_xlabel("quality of the surveillance picture, by quarter")
    by_band.set_ylim(0, 1.12)
    by_band.grid(axis="x", visible=False)
    by_band.legend(loc="upper left")
    percent_ticks(by_band.yaxis)
    share_T = np.arange(len(quality_N)) / len(quality_N)
    left_T = np.cumsum(missed_N[poorest_first][::-1])[::-1] / np.arange(len(quality_N), 0, -1)
    by_share.plot(share_T, left_T, drawstyle="steps-post", color=styles[names[1]].color, label="the poorest refused")
    by_share.axhline(float(missed_N.mean()), color=MUTED, linestyle=":", linewidth=1.2, label="refused at random")
    by_share.axhline(LARGEST_FNMR, color=MUTED, linewidth=0.9, label=f"{LARGEST_FNMR:.0%}")
    by_share.set_xlim(0, 1)
    by_share.set_ylim(bottom=-0.01)
    by_share.set_xlabel("surveillance pictures refused")
    by_share.set_ylabel(f"FNMR of those decided, FAR {point.target_far:.0%}")
    by_share.legend(loc="upper right")
    for axis in (by_share.xaxis, by_share.yaxis):
        percent_ticks(axis)
    return drawn


def needed_floor(missed_N: NDArray[np.bool_], quality_N: NDArray[np.float32]) -> float:
    """The lowest quality from which on at most LARGEST_FNMR of the pictures miss; inf if there is none."""
    candidates = np.unique(quality_N)
    enough = [quality for quality in candidates if missed_N[quality_N >= quality].mean() <= LARGEST_FNMR]
    return float(enough[0]) if enough else np.inf


if __name__ == "__main__":
    main()
