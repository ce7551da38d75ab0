"""What certifying costs: the bound of a million units, and a threshold from 14 million pairs beside sorting them all.

2,948 people with 5,367 images, as in LFW's folds 1 to 7, with random vectors. The reference computes all cosines in one
matrix, sorts them and sums their weights; it has neither people in error nor an estimated interval. Time of the
processor, in 3 rounds. Shapes: S images, K pairs, D embedding size.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from measure import interleaved, machine, peak_extra_memory, ratio

from facemargin.evaluation import Embeddings, certified_upper_bound, certify_embeddings
from facemargin.evaluation.metrics.certified_bound import largest_observed

PEOPLE, IMAGES, D = 2948, 5367, 128


def in_one_matrix(vectors_SD, person_S, fmr: float) -> float:
    row, column = np.triu_indices(len(person_S), 1)
    different = person_S[row] != person_S[column]
    row, column = row[different], column[different]
    scores_K = (vectors_SD @ vectors_SD.T)[row, column]
    images = np.bincount(person_S)
    weight_K = 1 / (images[person_S[row]] * images[person_S[column]])
    order_K = np.argsort(-scores_K)
    rate_K = np.cumsum(weight_K[order_K]) / weight_K.sum()
    rejected = scores_K[order_K[np.searchsorted(rate_K, largest_observed(fmr, PEOPLE // 2, 0.05), side="right")]]
    return float(np.nextafter(rejected, np.float32(2)))


def main() -> None:
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    person_S = np.concatenate([np.arange(PEOPLE), generator.integers(0, PEOPLE, IMAGES - PEOPLE) ** 2 // PEOPLE])
    vectors_SD = generator.normal(size=(IMAGES, D)).astype(np.float32)
    vectors_SD /= np.linalg.norm(vectors_SD, axis=1, keepdims=True)
    quality_S = generator.uniform(size=IMAGES).astype(np.float32)
    embeddings = Embeddings(vectors_SD, quality_S, quality_S)
    functions = {
        "certify_embeddings": lambda: certify_embeddings(embeddings, person_S, 1e-2),
        "certify_embeddings, FNMR and 4 bands": lambda: certify_embeddings(embeddings, person_S, 5e-2, 0.95, 0.5, 4),
        "sorting one matrix": lambda: in_one_matrix(vectors_SD, person_S, 1e-2),
    }
    assert abs(functions["certify_embeddings"]().threshold - functions["sorting one matrix"]()) < 1e-6
    lines = ["| what | s of the processor | times sorting one matrix (quartiles) | MB |", "|---|---|---|---|"]
    seconds = interleaved(functions, rounds=3, clock=time.process_time)
    for name, function in functions.items():
        middle, low, high = ratio(seconds[name], seconds["sorting one matrix"])
        memory = peak_extra_memory(function)
        lines.append(
            f"| {name} | {np.median(seconds[name]):.2f} | {middle:.2f} ({low:.2f}–{high:.2f}) | {memory:.0f} |"
        )
    lines += ["", "| certified_upper_bound of 1,000,000 units | ms of the processor |", "|---|---|"]
    rates = {
        f"observed {rate:g}": (lambda rate=rate: certified_upper_bound(rate, 10**6)) for rate in (0, 1e-6, 1e-3, 0.5)
    }
    rates["1,000 rates up to .001"] = lambda: certified_upper_bound(np.linspace(0, 1e-3, 1000), np.full(1000, 10**6))
    for name, taken in interleaved(rates, rounds=15, clock=time.process_time).items():
        lines.append(f"| {name} | {1e3 * np.median(taken):.2f} |")
    text = "\n".join(lines)
    print(text)
    if "--write" in sys.argv:
        how = f"`python benchmarks/certified_speed.py`: {machine()}, one thread; {datetime.now(UTC):%Y-%m-%d}."
        target = Path(__file__).with_name("results") / "certified_speed.md"
        target.write_text(f"# What certifying a threshold costs\n\n{how}\n\n{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
