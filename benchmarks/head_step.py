"""The head's forward and backward against the bare matrix products and the plain dense formulation.

Claims: the chunked FunFace head takes at most 1.35 times the three products x·Wᵀ, G·W, Gᵀ·x that nothing can do
without, with one B×C matrix, and at most 1.7 times with 64 MB (float32). With `backward="bf16"`, on a processor that
has instructions for it, the chunked head takes less time than the three products in float32.

`--heads` leaves out the plain formulations, whose gigabytes disturb what runs after them; `--processor-time` measures
that instead of seconds, for a busy machine and OMP_NUM_THREADS=1.

Shapes: B samples, C classes, D feature values.
"""

import sys
import time
from functools import partial

import torch
from measure import interleaved, machine, peak_extra_memory, ratio
from torch.nn import functional as F

from facemargin import create_head
from facemargin.backbones.precision import computes_bf16

SIZES = [(128, 93_431), (128, 205_990), (512, 93_431)]
D = 512


def main() -> None:
    print(f"{machine()}; {torch.get_num_threads()} threads; torch {torch.__version__}; D = {D}, float32")
    for b, c in [tuple(map(int, size.split("x"))) for size in sys.argv[1:] if "--" not in size] or SIZES:
        measure(b, c)


def measure(b: int, c: int) -> None:
    torch.manual_seed(0)
    x_BD = (20 * F.normalize(torch.randn(b, D))).requires_grad_()
    y_B = torch.randint(0, c, (b,))
    heads = {name: create_head("funface", c, D, implementation=name) for name in ("chunked", "recomputed", "eager")}
    if computes_bf16(x_BD.device):
        for name in ("chunked", "recomputed"):
            heads[f"{name}, bf16"] = create_head("funface", c, D, implementation=name, backward="bf16")
    weight_CD = heads["chunked"].weight
    for head in heads.values():
        head.weight = weight_CD
    weight_CD.grad = torch.zeros_like(weight_CD)

    def step(head: torch.nn.Module) -> None:
        x_BD.grad = weight_CD.grad = None
        head(x_BD, y_B).loss.backward()

    def dense() -> None:
        x_BD.grad = weight_CD.grad = None
        dense_funface(x_BD, weight_CD, y_B).backward()

    functions = {name: partial(step, head) for name, head in heads.items() if name != "eager"}
    functions["products"] = bare_products(x_BD.detach(), weight_CD.detach())
    if "--heads" not in sys.argv:
        functions |= {"eager": partial(step, heads["eager"]), "dense": dense}
    seconds = interleaved(functions, clock=time.process_time if "--processor-time" in sys.argv else time.perf_counter)
    print(f"\nB = {b}, C = {c:,}: {'':10}{'seconds':>10}{'× products (quartiles)':>28}{'extra memory':>16}")
    for name, times in seconds.items():
        middle, low, high = ratio(times, seconds["products"])
        extra = peak_of_a_first_step(name, heads, x_BD, y_B) if name in heads else peak_extra_memory(functions[name])
        print(f"{name:>30}{sorted(times)[len(times) // 2]:10.2f}{middle:14.2f} ({low:.2f}–{high:.2f}){extra:13.0f} MB")
    print(f"extra memory includes the gradient of the centres, {c * D * 4 / 2**20:.0f} MB")


def peak_of_a_first_step(name: str, heads: dict, x_BD: torch.Tensor, y_B: torch.Tensor) -> float:
    """Megabytes beyond the centres. With centres of its own: heads keep a buffer for each centres' next step."""
    weight_CD = heads[name].weight
    heads[name].weight = torch.nn.Parameter(weight_CD.detach().clone())
    x_BD.grad = weight_CD.grad = None

    def step() -> None:
        heads[name](x_BD, y_B).loss.backward()

    extra = peak_extra_memory(step)
    heads[name].weight = weight_CD
    return extra


def bare_products(x_BD: torch.Tensor, weight_CD: torch.Tensor):
    """The three matrix products of a step, into buffers made before."""
    product_BC = torch.empty(len(x_BD), len(weight_CD))
    grad_x_BD, grad_w_CD = torch.empty_like(x_BD), torch.empty_like(weight_CD)

    def run() -> None:
        torch.mm(x_BD, weight_CD.T, out=product_BC)
        torch.mm(product_BC, weight_CD, out=grad_x_BD)
        torch.mm(product_BC.T, x_BD, out=grad_w_CD)

    return run


def dense_funface(x_BD: torch.Tensor, weight_CD: torch.Tensor, y_B: torch.Tensor) -> torch.Tensor:
    """FunFace written over whole B×C matrices: cosines, arccos, one-hot margin, cos, cross-entropy."""
    m, h, s, epsilon, mixing = 0.4, 0.333, 64.0, 1e-5, 0.1
    norm_B1 = x_BD.norm(dim=1, keepdim=True)
    cosine_BC = (x_BD / norm_B1 @ F.normalize(weight_CD).T).clamp(-1 + epsilon, 1 - epsilon)
    one_hot_BC = torch.zeros_like(cosine_BC).scatter_(1, y_B[:, None], 1.0)
    with torch.no_grad():
        norm_B1 = norm_B1.clamp(0.001, 100)
        q_norm_B1 = (h * (norm_B1 - 20.0) / 100.0).clamp(-1, 1)
        hardest_B1 = (cosine_BC - 2 * one_hot_BC).amax(1, keepdim=True).clamp(0, 1)
        ratio_B1 = cosine_BC.gather(1, y_B[:, None]).clamp(0, 1) / (hardest_B1 + epsilon)
        q_B1 = mixing * (h * (ratio_B1 - 2.0) / 10.0).clamp(-1, 1) + (1 - mixing) * q_norm_B1
    angle_BC = (cosine_BC.acos() - m * q_B1 * one_hot_BC).clamp(epsilon, torch.pi - epsilon)
    return F.cross_entropy(s * (angle_BC.cos() - one_hot_BC * (m + m * q_B1)), y_B)


if __name__ == "__main__":
    main()
