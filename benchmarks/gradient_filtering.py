"""Leaving negligible negatives out of the head's two backward products: time against the gradients' error.

Claim (docs/heads.md): no threshold holds, across heads and sizes, the gradients' relative errors at 1e-2 in 0.7 times
the three bare products. Points within both are printed in bold.

A negative of softmax weight p < ε is left out of both gradients. "classes" drops the centres that no sample of the
batch needs and multiplies the rest densely; "pairs" drops every such pair, with sparse products. Forward is exact, and
is that of the chunked head. FunFace on random centres (target cosine .70 ± .06, scale 64) and, with
`--data TRAIN --run RUN …`, folders of `facemargin train` and what they were trained on: the centres and the features of
training batches, alone ("trained") and among random combinations of the centres as further negatives ("enlarged", a
model of a head with more classes: those centres were never trained).

`--processor-time`, for a busy machine: processor seconds of one thread in place of seconds.

Shapes: B samples, C classes, D feature values, N × M tiles.
"""

import argparse
import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from filtered_terms import FILTER, filtered_terms
from head_step import bare_products
from measure import interleaved, machine, ratio
from torch import Tensor
from torch.nn import functional as F

from facemargin import create_head
from facemargin.heads import Head
from facemargin.heads.softmax_terms import IMPLEMENTATIONS

SIZES = [(128, 205_990), (512, 93_431)]
D = 512
THRESHOLDS = (1e-5, 1e-4, 2e-4, 1e-3, 1e-2)
ERROR, TIME = 1e-2, 0.7
TILE = (256, 128)  # classes, samples


IMPLEMENTATIONS["filtered"] = filtered_terms


@dataclass
class Case:
    """A batch and the head that it meets; `state` is the head's, centres included."""

    name: str
    features_BD: Tensor
    labels_B: Tensor
    scale: float
    state: dict[str, Tensor]

    def head(self, implementation: str) -> Head:
        centers_CD = self.state["weight"]
        head = create_head("funface", *centers_CD.shape, scale=self.scale, implementation=implementation)
        head.load_state_dict(self.state)
        return head.eval()  # the margin's statistics stand still: every run is of the same loss


def random_case(b: int, c: int) -> Case:
    """Random centres and features around their own, with target cosines of .70 ± .06."""
    torch.manual_seed(0)
    centers_CD = F.normalize(torch.randn(c, D))
    y_B = torch.randint(0, c, (b,))
    cosine_B1 = (0.70 + 0.06 * torch.randn(b, 1)).clamp(-1, 1)
    noise_BD, own_BD = torch.randn(b, D), centers_CD[y_B]
    across_BD = F.normalize(noise_BD - (noise_BD * own_BD).sum(1, keepdim=True) * own_BD)
    features_BD = 20 * (cosine_B1 * own_BD + (1 - cosine_B1.square()).sqrt() * across_BD)
    state = create_head("funface", 1, D).state_dict() | {"weight": centers_CD}
    return Case(f"random centres, {b} × {c:,}", features_BD, y_B, 64.0, state)


def trained_case(run: Path, data: str, b: int) -> Case:
    """The centres of a finished run, and features as it computes them in training: augmented, with dropout and the
    statistics of each batch."""
    from facemargin.data.images.pixels import normalize
    from facemargin.data.open import open_images
    from facemargin.data.training_set import TrainingSet
    from facemargin.training.checkpoint import latest_checkpoint
    from facemargin.training.recipe import load_recipe, model_info
    from facemargin.training.state import TrainingState

    recipe = load_recipe(str(run / "recipe.yaml"))
    images = open_images(data)
    state = TrainingState(recipe, images.num_identities, torch.device("cpu"))
    found = latest_checkpoint(run / "checkpoints")
    if found is None or state.head is None:
        raise SystemExit(f"{run} holds no checkpoint of a head")
    state.load_state_dict(found[1])
    training_set = TrainingSet(images, model_info(recipe).input_size, recipe.augmentation, recipe.seed)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(1))[:b]
    features, labels = [], []
    torch.manual_seed(0)
    state.recognizer.train()
    with torch.no_grad(), state.autocast():
        for indices in order.split(recipe.batch_size):
            batch = training_set[[(recipe.epochs, int(index)) for index in indices]]
            features.append(state.recognizer(normalize(batch.images_BCHW)).features_BD.float())
            labels.append(batch.labels_B)
    scale = state.head.margin.config.scale
    name = f"trained head, {b} × {images.num_identities}, scale {scale:g}"
    return Case(name, torch.cat(features), torch.cat(labels), scale, state.head.state_dict())


def enlarged_case(trained: Case, b: int, c: int) -> Case:
    """The trained case with random combinations of its centres, of the same mean and covariance, as further classes."""
    torch.manual_seed(0)
    centers_CD = trained.state["weight"]
    unit_CD, few = F.normalize(centers_CD), len(centers_CD)
    mean_D = unit_CD.mean(0)
    more_CD = F.normalize(mean_D + torch.randn(c - few, few) @ (unit_CD - mean_D) / math.sqrt(few - 1))
    state = trained.state | {"weight": torch.cat([centers_CD, more_CD * centers_CD.norm(dim=1).mean()])}
    name = f"enlarged head (modelled), {b} × {c:,}, scale {trained.scale:g}"
    return Case(name, trained.features_BD[:b], trained.labels_B[:b], trained.scale, state)


def measure(case: Case, rounds: int, clock: Callable[[], float]) -> str:
    """Markdown: what the batch is like, then time and error by threshold."""
    exact, filtered = case.head("chunked"), case.head("filtered")
    weight_CD = filtered.weight = exact.weight
    x_BD = case.features_BD.clone().requires_grad_()

    def step(head: Head, threshold: float = 0.0, by: str = "classes"):
        FILTER.threshold, FILTER.by = threshold, by
        x_BD.grad = weight_CD.grad = None
        out = head(x_BD, case.labels_B)
        out.loss.backward()
        return out

    out = step(exact)
    losses_B = out.losses_B.detach()
    exact_grads = x_BD.grad.clone(), weight_CD.grad.clone()
    with torch.no_grad():
        cosine_BC = F.normalize(x_BD) @ F.normalize(weight_CD).T
    cosine_BC[torch.arange(len(x_BD)), case.labels_B] = -1e30
    weight_CB = F.softmax(case.scale * cosine_BC, 1).mul_(-torch.expm1(-losses_B)[:, None]).T
    runs, rows = {"products": bare_products(x_BD.detach(), weight_CD.detach())}, []
    runs["chunked head"] = lambda: step(exact)
    runs["forward only"] = lambda: filtered(x_BD, case.labels_B)
    for by, threshold in [("classes", 0.0), *((by, t) for by in ("classes", "pairs") for t in THRESHOLDS)]:
        step(filtered, threshold, by)
        errors = [
            ((grad - true).norm() / true.norm()).item()
            for grad, true in zip((x_BD.grad, weight_CD.grad), exact_grads, strict=True)
        ]
        if threshold == 0 and max(errors) > 1e-5:
            raise SystemExit(f"{case.name}: nothing left out, and yet the gradients are off by {errors}")
        if by == "pairs":
            omitted_B = weight_CB.where(weight_CB < threshold, 0).sum(0)
            torch.testing.assert_close(FILTER.omitted_B, omitted_B, rtol=1e-2, atol=2e-3)
        key = f"{by} {threshold:g}"
        runs[key] = lambda threshold=threshold, by=by: step(filtered, threshold, by)
        omitted = f"{FILTER.omitted_B.mean().abs():.4f} | {FILTER.omitted_B.max():.3f}"
        classes = (weight_CB.amax(1) >= threshold).float().mean()
        pairs = (weight_CB >= threshold).float().mean() if by == "pairs" else classes
        kept = f"{classes:.1%} | {pairs:.2%} | {_tiles(weight_CB, threshold):.1%}"
        rows.append(
            (
                key,
                max(errors),
                f"| {by} | {threshold:g} | {kept} |",
                f"| {errors[0]:.1e} | {errors[1]:.1e} | {omitted} |",
            )
        )
    del weight_CB, cosine_BC
    seconds = interleaved(runs, rounds, clock)
    ratios = {key: ratio(times, seconds["products"]) for key, times in seconds.items()}
    norms = [f"{grad.norm():.3g}" for grad in exact_grads]
    lines = [
        f"## {case.name[0].upper()}{case.name[1:]}\n",
        f"D = {x_BD.shape[1]}, loss {losses_B.mean():.2f}, hardest negative {out.hardest_negative_B.mean():.2f}, "
        f"softmax weight of all negatives {-torch.expm1(-losses_B).mean():.3f} a sample. Norm of the unfiltered "
        f"gradient: x {norms[0]}, W {norms[1]}. Bare products {statistics.median(seconds['products']):.4f} s; "
        f"times them: exact chunked head {_cell(ratios['chunked head'])}, its forward alone "
        f"{_cell(ratios['forward only'])}.\n",
        "| left out by | ε | classes kept | pairs kept | tiles kept | × products | error x | error W | omitted, mean | "
        "most |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for key, error, left, right in rows:
        passes = error <= ERROR and ratios[key][0] <= TIME
        lines.append(f"{left} {'**' * passes}{_cell(ratios[key])}{'**' * passes} {right}")
    return "\n".join(lines)


def _cell(ratio_and_quartiles: tuple[float, float, float]) -> str:
    return "{:.2f} ({:.2f}–{:.2f})".format(*ratio_and_quartiles)


def _tiles(weight_CB: Tensor, threshold: float) -> float:
    """The fraction of the tiles of a fused kernel that hold a pair to keep, classes and samples in random order."""
    tiles_NM = F.max_pool2d(weight_CB[None], TILE, ceil_mode=True)
    return (tiles_NM >= threshold).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", type=Path, nargs="+", default=[], help="folders of finished `facemargin train`")
    parser.add_argument("--data", help="what they were trained on")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true")
    given = parser.parse_args()
    if given.run and not given.data:
        parser.error("--run needs --data")
    warnings.filterwarnings("ignore", "Sparse CSR")
    clock, what = time.perf_counter, "seconds"
    if given.processor_time:
        torch.set_num_threads(1)
        clock, what = time.process_time, "processor seconds"
    cases = [lambda size=size: random_case(*size) for size in SIZES]
    for run in given.run:
        trained = trained_case(run, given.data, SIZES[1][0])
        cases += [
            lambda one=trained: one,
            *(lambda one=trained, size=size: enlarged_case(one, *size) for size in SIZES),
        ]
    how = (
        f"{machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, float32, {what}; {given.rounds} "
        f"rounds, median and quartiles; {datetime.now(UTC):%Y-%m-%d}, load average {os.getloadavg()[0]:.1f}"
    )
    print(how, flush=True)
    for case in cases:
        print("\n" + measure(case(), given.rounds, clock), flush=True)


if __name__ == "__main__":
    main()
