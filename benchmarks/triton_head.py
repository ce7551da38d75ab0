"""The Triton head on a GPU against the other implementations, the bare matrix products and the dense formulation.

Claims: at B = 1024, C = 205,990, D = 512 a FunFace step takes at most 1.5 times the three products that nothing can do
without and a third of the dense formulation's time, and 10,000,000 classes fit one card of 80 GB. Without a GPU this
checks the kernels' results in Triton's interpreter, and times nothing.

    python benchmarks/triton_head.py [BxC …] [--precision tf32] [--backward bf16] [--workspaces | --kernels]

`--kernels` prints the milliseconds of every kernel of a step on the GPU, without the host's share. `--workspaces` times
sizes of the workspace. benchmarks/gpu.py times the head beside all the rest.

Shapes: B samples, C classes, D feature values.
"""

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec

import torch
from head_step import bare_products, dense_funface
from measure import interleaved, ratio
from torch.nn import functional as F

from facemargin import create_head
from facemargin.heads.softmax_terms import IMPLEMENTATIONS, softmax_terms_eager
from facemargin.heads.triton import softmax_terms_triton

SIZES = [(b, c) for c in (93_431, 205_990, 2_000_000, 10_000_000) for b in (512, 1024, 2048, 4096)]
D = 512
WORKSPACES = [2**entries for entries in range(22, 28)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", help="BxC, such as 1024x205990; by default all of the issue's")
    parser.add_argument("--precision", choices=["tf32", "ieee"], help="of float32 products; by default both in turn")
    parser.add_argument("--backward", choices=["float32", "bf16"], default="float32", help="of the backward products")
    parser.add_argument("--workspaces", action="store_true", help="time workspaces at the first size instead")
    parser.add_argument("--kernels", action="store_true", help="time every kernel at the first size instead")
    parser.add_argument("--check", action="store_true", help="compare results with the eager implementation's only")
    options = parser.parse_args()
    sizes = [tuple(map(int, size.split("x"))) for size in options.sizes]
    if options.check:
        check()
    elif find_spec("triton") is None:
        print("triton is not installed: nothing to measure")
    elif not torch.cuda.is_available():
        print("no CUDA device: nothing is timed. Results in Triton's interpreter, on the CPU:", flush=True)
        subprocess.run([sys.executable, __file__, "--check"], env=os.environ | {"TRITON_INTERPRET": "1"}, check=True)
    else:
        print(f"{torch.cuda.get_device_name()}; torch {torch.__version__}; D = {D}, float32")
        for precision in [options.precision] if options.precision else ["tf32", "ieee"]:
            torch.backends.cuda.matmul.fp32_precision = precision
            if options.workspaces or options.kernels:
                size = sizes[0] if sizes else (1024, 205_990)
                (time_workspaces if options.workspaces else time_kernels)(*size, precision, options.backward)
                continue
            for b, c in sizes or SIZES:
                measure(b, c, precision, options.backward)
                torch.cuda.empty_cache()


def batch(b: int, c: int) -> tuple[torch.Tensor, torch.nn.Parameter, torch.Tensor]:
    """Features of norm 20, unit centres and labels, on the GPU."""
    torch.manual_seed(0)
    with torch.device("cuda"):
        x_BD = (20 * F.normalize(torch.randn(b, D))).requires_grad_()
        weight_CD = torch.nn.Parameter(torch.randn(c, D).div_(D**0.5))
        return x_BD, weight_CD, torch.randint(0, c, (b,))


def funface(implementation: str, weight_CD: torch.nn.Parameter, backward: str = "float32") -> torch.nn.Module:
    """A head over centres that are on the device already: 10,000,000 of them take minutes to draw on the CPU."""
    head = create_head("funface", 2, weight_CD.shape[1], implementation=implementation, backward=backward)
    head = head.to(weight_CD.device)
    head.num_classes = len(weight_CD)
    head.class_range = (0, len(weight_CD))
    head.weight = weight_CD
    return head


def measure(b: int, c: int, precision: str, backward: str) -> None:
    x_BD, weight_CD, y_B = batch(b, c)

    def step(loss: Callable[[], torch.Tensor]) -> None:
        x_BD.grad = weight_CD.grad = None
        loss().backward()
        torch.cuda.synchronize()

    names = sorted(IMPLEMENTATIONS, key=lambda name: name != "triton")
    heads = {name: funface(name, weight_CD, backward if name == "triton" else "float32") for name in names}
    functions: dict[str, Callable[[], object]] = {
        name: lambda head=head: step(lambda: head(x_BD, y_B).loss) for name, head in heads.items()
    }
    functions["dense"] = lambda: step(lambda: dense_funface(x_BD, weight_CD, y_B))
    extra: dict[str, float | None] = {}
    for name, function in functions.items():
        x_BD.grad = weight_CD.grad = None
        extra[name] = peak_extra_gpu_memory(function)
    x_BD.grad = weight_CD.grad = None
    torch.cuda.empty_cache()
    try:
        with torch.device("cuda"):
            products = bare_products(x_BD.detach(), weight_CD.detach())
        functions["products"] = lambda: (products(), torch.cuda.synchronize())
        extra["products"] = b * c * 4 / 2**20 + (b + c) * D * 4 / 2**20
    except torch.cuda.OutOfMemoryError:
        extra["products"] = None
    print(f"\nB = {b}, C = {c:,}, {precision}, triton's backward in {backward}:")
    print(f"{'ms':>40}{'× products (quartiles)':>28}{'extra memory':>16}")
    seconds = {}
    for name in [name for name in functions if extra[name] is not None and name != "products"]:
        # By pairs: not all of them fit beside the others' buffers.
        pair = {key: functions[key] for key in (name, "products") if extra[key] is not None}
        try:
            seconds[name] = interleaved(pair)
        except torch.cuda.OutOfMemoryError:  # beside the buffers of the products
            seconds[name] = interleaved({name: functions[name]})
        times = seconds[name]
        against = f"{'–':>14}"
        if "products" in times:
            middle, low, high = ratio(times[name], times["products"])
            against = f"{middle:14.2f} ({low:.2f}–{high:.2f})"
        print(f"{name:>30}{1000 * sorted(times[name])[len(times[name]) // 2]:10.2f}{against}{extra[name]:13.0f} MB")
    if "products" in seconds.get("triton", {}):
        times = seconds["triton"]["products"]
        print(
            f"{'products':>30}{1000 * sorted(times)[len(times) // 2]:10.2f}{1:14.2f}{'':14}{extra['products']:13.0f} MB"
        )
    for name in (name for name, megabytes in extra.items() if megabytes is None):
        print(f"{name:>30}  does not fit")
    print(f"extra memory includes the gradient of the centres, {c * D * 4 / 2**20:.0f} MB")


def peak_extra_gpu_memory(function: Callable[[], object]) -> float | None:
    """Megabytes that `function` allocates on the GPU at most, beyond what is there before; None if they do not fit."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    try:
        function()
    except torch.cuda.OutOfMemoryError:
        return None
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def time_kernels(b: int, c: int, precision: str, backward: str) -> None:
    """Milliseconds on the GPU of every kernel of a step of FunFace's head."""
    x_BD, weight_CD, y_B = batch(b, c)
    head = funface("triton", weight_CD, backward)

    def steps(count: int) -> None:
        for _ in range(count):
            x_BD.grad = weight_CD.grad = None
            head(x_BD, y_B).loss.backward()
        torch.cuda.synchronize()

    steps(3)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True) as profile:
        steps(10)
    rows = sorted(profile.key_averages(), key=lambda row: -row.self_device_time_total)
    total = sum(row.self_device_time_total for row in rows)
    print(f"\nB = {b}, C = {c:,}, {precision}, backward in {backward}: {total / 1e4:.2f} ms on the GPU a step")
    for row in rows:
        if row.self_device_time_total > total / 500:
            print(f"{row.self_device_time_total / 1e4:10.3f} ms {row.count // 10:6} ×  {row.key[:90]}")


def time_workspaces(b: int, c: int, precision: str, backward: str) -> None:
    """Milliseconds of forward and of backward by the size of the workspace."""
    x_BD, weight_CD, y_B = batch(b, c)
    x_BD, scale_B = F.normalize(x_BD.detach()).requires_grad_(), torch.full((b,), 64.0, device="cuda")
    print(f"\nB = {b}, C = {c:,}, {precision}, backward in {backward}:{'forward':>12}{'backward':>12} ms")
    for entries in WORKSPACES:
        terms = {}

        def forward() -> None:
            made = softmax_terms_triton(
                x_BD,
                weight_CD,
                y_B,
                scale_B,
                None,
                entries // b,  # noqa: B023
                backward,
            )
            terms["lse"] = made.negative_lse_B.sum()  # noqa: B023
            torch.cuda.synchronize()

        def backward_pass() -> None:
            torch.autograd.grad(terms["lse"], (x_BD, weight_CD), retain_graph=True)  # noqa: B023
            torch.cuda.synchronize()

        seconds = interleaved({"forward": forward, "backward": backward_pass})
        middle = {name: 1000 * sorted(times)[len(times) // 2] for name, times in seconds.items()}
        print(f"{entries // b:>30} classes a chunk{middle['forward']:12.2f}{middle['backward']:12.2f}")


def check() -> None:
    """The largest differences from eager in float64, relative to the largest value."""
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="triton")  # of lanes that are masked afterwards
    b, c, d = 150, 1000, 64
    torch.manual_seed(0)
    x_BD, w_CD, y_B = F.normalize(torch.randn(b, d)), torch.randn(c, d), torch.randint(0, c, (b,))
    found = []
    for terms_of, dtype in ((softmax_terms_triton, torch.float32), (softmax_terms_eager, torch.float64)):
        leaves = [v.to(dtype).requires_grad_() for v in (x_BD, w_CD, torch.full((b,), 64.0))]
        terms = terms_of(leaves[0], leaves[1], y_B, leaves[2], None)
        gradients = torch.autograd.grad(terms.negative_lse_B.sum() - terms.target_cosine_B.sum(), leaves)
        found.append([values.detach().double() for values in (*terms[:3], *gradients)])
    names = ("target cosine", "log-sum-exp", "hardest negative", "gradient of x", "gradient of W", "gradient of scale")
    for name, ours, truth in zip(names, *found, strict=True):
        error = float((ours - truth).abs().max() / truth.abs().max())
        print(f"{name:>20}: {error:.1e} of the largest")
        assert error < 1e-4, name


if __name__ == "__main__":
    main()
