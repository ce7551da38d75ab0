"""The Triton implementation of softmax_terms, through Triton's interpreter, its compiler and, if there is one, a GPU.

Triton decides when it is first imported whether its kernels are interpreted, and torch imports it unasked. So what is
interpreted runs in a process of its own, started with TRITON_INTERPRET=1: no other test of this process is interpreted
with it, whatever the order. The functions named check_* run there.

Shapes: B samples, C classes, D feature values.
"""

import math
import os
import re
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from facemargin import create_head, list_margins
from facemargin.errors import ConfigError
from facemargin.heads import triton as head_triton
from facemargin.heads import triton_launch
from facemargin.heads.chunked import softmax_terms_chunked
from facemargin.heads.softmax_terms import softmax_terms, softmax_terms_eager
from facemargin.heads.triton import softmax_terms_triton
from facemargin.heads.triton_launch import Launch
from facemargin.margins.base import HardNegatives, margin_class

needs_triton = pytest.mark.skipif(sys.platform != "linux", reason="triton is published for Linux only")
HARD = ["none", "mv-softmax", "curricular", "filtered", "square", "tensors"]


def quiet() -> None:
    """The interpreter computes masked lanes too, such as −inf − −inf, and numpy warns of them."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="triton")


@pytest.fixture(scope="module")
def interpreted():
    if version("triton") < "3.7" and tuple(map(int, version("numpy").split(".")[:2])) >= (2, 4):
        pytest.skip("the interpreter of triton 3.6 converts arrays as numpy 2.4 no longer does")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITON_INTERPRET", "1")
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=quiet)
        pool.submit(int).result()  # a process starts with its first task, in the environment of that moment
    with pool:
        yield lambda check, *arguments: pool.submit(check, *arguments).result()


def inputs(b: int, c: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels include other shards' classes, on both sides; a third of the samples lies near a wrong centre."""
    generator = torch.Generator().manual_seed(seed)
    w_CD = 3 * torch.randn(c, d, generator=generator)
    x_BD = torch.randn(b, d, generator=generator)
    if c:
        x_BD[::3] += w_CD[torch.randint(0, c, x_BD[::3].shape[:1], generator=generator)]
    y_B = torch.randint(-2, c + 2, (b,), generator=generator)
    y_B[1:2] = 2**32  # 0 in 32 bits
    scale_B = 5 + 20 * torch.rand(b, generator=generator)
    return torch.nn.functional.normalize(x_BD), w_CD, y_B, scale_B


def hard_negatives(kind: str, b: int, dtype: torch.dtype) -> HardNegatives | None:
    threshold_B = torch.linspace(-0.2, 0.3, b, dtype=dtype)
    if kind == "none":
        return None
    quadratics = {"mv-softmax": (0, 1.2, 0.2), "curricular": (1, 0.3, 0), "filtered": (0, 0, 0)}
    quadratic = quadratics.get(kind, (0.7, -0.4, 0.1))
    return HardNegatives(threshold_B, *(map(torch.tensor, quadratic) if kind == "tensors" else quadratic))


def results(function, values, kind: str, dtype: torch.dtype, **options) -> list[Tensor]:
    """Terms, then the gradients of x, W and scale of a sum weighted differently for every sample."""
    x_BD, w_CD, y_B, scale_B = values
    leaves = [v.to(dtype).requires_grad_() for v in (x_BD, w_CD, scale_B)]
    terms = function(leaves[0], leaves[1], y_B, leaves[2], hard_negatives(kind, len(y_B), dtype), **options)
    weight_B = torch.linspace(0.5, 1.5, len(y_B), dtype=dtype)
    lse_B = terms.negative_lse_B.masked_fill(terms.negative_lse_B == -torch.inf, 0)
    total = (weight_B * lse_B).sum() + (weight_B.flip(0) * terms.target_cosine_B).sum()
    return [*terms[:3], *torch.autograd.grad(total, leaves)]


def check_against_eager(
    b: int, c: int, d: int, kind: str, chunk_classes: int | None = None, backward: str = "float32"
) -> None:
    """In bf16 the gradients of x and W are compared by their norms: x and W are rounded by up to 2⁻⁹ of their values,
    and G, which a device rounds too, is cut by up to 2⁻⁸ in the interpreter."""
    values = inputs(b, c, d)
    options = {"chunk_classes": chunk_classes, "backward": backward}
    ours = results(softmax_terms_triton, values, kind, torch.float32, **options)
    truth = results(softmax_terms_eager, values, kind, torch.float64)
    for name, a, e in zip(("target", "lse", "hardest", "grad x", "grad w", "grad scale"), ours, truth, strict=True):
        assert a.dtype == torch.float32
        if backward == "bf16" and name in ("grad x", "grad w"):
            # Of a few values, hardly anything may be left of the gradient without the part along a centre.
            largest = 3 * (values[3].norm() / (1 if name == "grad x" else values[1].norm(dim=1))).sum()
            assert (a.double() - e).norm() <= (6e-3 * e.norm() if b * c * d > 2000 else 2**-8 * largest), name
        else:
            torch.testing.assert_close(a.double(), e, rtol=2e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


@needs_triton
@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("shape", [(37, 301, 24), (5, 70, 50)])  # 3 and 1 blocks of samples, 6 and 3 splits
@pytest.mark.parametrize("backward", ["float32", "bf16"])
def test_terms_and_gradients_equal_eager(interpreted, shape, kind, backward):
    interpreted(check_against_eager, *shape, kind, None, backward)


@needs_triton
@pytest.mark.parametrize(
    "shape", [(0, 5, 8), (5, 0, 8), (0, 0, 8), (1, 1, 4), (4, 1, 7), (1, 2, 3), (3, 16, 16), (17, 33, 2), (16, 32, 33)]
)
@pytest.mark.parametrize(("kind", "backward"), [("none", "float32"), ("square", "float32"), ("square", "bf16")])
def test_any_size_even_none(interpreted, shape, kind, backward):
    interpreted(check_against_eager, *shape, kind, None, backward)


@needs_triton
@pytest.mark.parametrize("chunk_classes", [1, 16, 40, 299, 10_000])
@pytest.mark.parametrize("backward", ["float32", "bf16"])
def test_chunks_of_any_size(interpreted, chunk_classes, backward):
    interpreted(check_against_eager, 20, 300, 12, "curricular", chunk_classes, backward)


def check_bf16_error() -> None:
    """What docs/heads.md states of FunFace at scale 64, B = 256, D = 512, at the start and where samples lie near their
    own centres."""
    generator = torch.Generator().manual_seed(0)
    w_CD = torch.randn(600, 512, generator=generator)
    y_B = torch.randint(0, 600, (64,), generator=generator)
    for near in (0.0, 1.0):
        features_BD = near * w_CD[y_B] + torch.randn(64, 512, generator=generator)
        found = []
        for implementation, dtype, options in (
            ("triton", torch.float32, {"backward": "bf16"}),
            ("eager", torch.float64, {}),
        ):
            head = create_head("funface", 600, 512, implementation=implementation, **options).to(dtype)
            head.weight.data.copy_(w_CD)
            leaf_BD = features_BD.to(dtype).requires_grad_()
            loss = head(leaf_BD, y_B).loss
            found.append([v.detach().double() for v in (loss, *torch.autograd.grad(loss, (leaf_BD, head.weight)))])
        loss, grad_x, grad_w = (float((a - e).norm() / e.norm()) for a, e in zip(*found, strict=True))
        assert loss < 1e-6 and 1e-4 < grad_x < 4e-3 and 1e-4 < grad_w < 4e-3, (near, loss, grad_x, grad_w)


@needs_triton
def test_the_error_of_bf16_is_the_one_that_is_stated(interpreted):
    interpreted(check_bf16_error)


def check_without_negatives(kind: str) -> None:
    x_BD, w_CD, _, scale_B = inputs(5, 1, 8)
    values = (x_BD, w_CD, torch.zeros(5, dtype=torch.int64), scale_B)
    ours = results(softmax_terms_triton, values, kind, torch.float32)
    truth = results(softmax_terms_eager, values, kind, torch.float64)
    assert torch.equal(ours[1], torch.full((5,), -torch.inf)) and torch.equal(ours[2], ours[1])
    for a, e in zip(ours, truth, strict=True):
        torch.testing.assert_close(a.double(), e, rtol=2e-5, atol=1e-5)


@needs_triton
@pytest.mark.parametrize("kind", ["none", "square"])
def test_one_class_has_no_negatives(interpreted, kind):
    interpreted(check_without_negatives, kind)


def check_blocks_of_devices(kind: str, backward: str) -> None:
    """The blocks that a GPU's programs take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triton_launch, "_BLOCK_B_INTERPRETED", triton_launch._BLOCK_B)
        patch.setattr(triton_launch, "_BLOCK_K_INTERPRETED", triton_launch._BLOCK_K)
        check_against_eager(20, 2500, 12, kind, None, backward)
        check_against_eager(20, 2500, 12, kind, 1100, backward)


@needs_triton
@pytest.mark.parametrize(("kind", "backward"), [("none", "float32"), ("square", "bf16")])
def test_blocks_of_real_devices(interpreted, kind, backward):
    interpreted(check_blocks_of_devices, kind, backward)


def check_loops(kind: str) -> None:
    b, c, d = 6, 45, 10
    x_BD, w_CD, y_B, scale_B = inputs(b, c, d, seed=1)
    y_B[0], y_B[1] = 44, 0
    terms = softmax_terms_triton(x_BD, w_CD, y_B, scale_B, hard_negatives(kind, b, torch.float32))
    hard = hard_negatives(kind, b, torch.float64)
    for i in range(b):
        x, label, target, hardest, logits = x_BD[i].tolist(), int(y_B[i]), 0.0, -math.inf, []
        for j in range(c):
            w = w_CD[j].tolist()
            cosine = sum(p * q for p, q in zip(x, w, strict=True)) / math.sqrt(sum(q * q for q in w))
            if j == label:
                target = cosine
                continue
            hardest = max(hardest, cosine)
            if hard is not None and cosine > float(hard.threshold_B[i]):
                cosine = float(hard.alpha) * cosine**2 + float(hard.beta) * cosine + float(hard.gamma)
            logits.append(float(scale_B[i]) * cosine)
        assert terms.target_cosine_B[i].item() == pytest.approx(target, abs=1e-6)
        assert terms.hardest_negative_B[i].item() == pytest.approx(hardest, abs=1e-6)
        assert terms.negative_lse_B[i].item() == pytest.approx(math.log(sum(map(math.exp, logits))), abs=2e-5)
    assert not terms.hardest_negative_B.requires_grad


@needs_triton
@pytest.mark.parametrize("kind", HARD)
def test_terms_equal_loops(interpreted, kind):
    interpreted(check_loops, kind)


def check_nan() -> None:
    x_BD, w_CD, y_B, scale_B = inputs(20, 100, 12)
    y_B = y_B.clamp(0, 99)
    x_BD[3, 5] = torch.nan
    for kind in HARD:
        for values in softmax_terms_triton(x_BD, w_CD, y_B, scale_B, hard_negatives(kind, 20, torch.float32))[:3]:
            assert values.isnan().nonzero().flatten().tolist() == [3]
    w_CD[70, 2] = torch.nan
    terms = softmax_terms_triton(x_BD, w_CD, y_B, scale_B, None)
    assert terms.negative_lse_B.isnan().all() or (y_B == 70).any()
    assert terms.hardest_negative_B[y_B != 70].isnan().all()


@needs_triton
def test_what_is_not_a_number_stays_one(interpreted):
    interpreted(check_nan)


def check_scales() -> None:
    x_BD, w_CD, y_B, _ = inputs(20, 100, 12)
    for scale in (0.0, 1e-3, 64.0, 6.4e5, 1e9):
        values = (x_BD, w_CD, y_B, torch.full((20,), scale))
        ours = results(softmax_terms_triton, values, "none", torch.float32)
        truth = results(softmax_terms_eager, values, "none", torch.float64)
        assert all(v.isfinite().all() for v in ours)
        # A cosine's rounding, 1e-7, is multiplied by the scale.
        torch.testing.assert_close(ours[1].double(), truth[1], rtol=1e-6, atol=1e-5 + 2e-7 * scale)


@needs_triton
def test_any_scale_from_nothing_to_overflow(interpreted):
    interpreted(check_scales)


def check_determinism() -> None:
    values = inputs(40, 400, 30)
    for backward in ("float32", "bf16"):
        options = {"chunk_classes": 64, "backward": backward}
        first, second = (results(softmax_terms_triton, values, "square", torch.float32, **options) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_triton
def test_the_same_inputs_give_the_same_bits(interpreted):
    interpreted(check_determinism)


def check_zero_center() -> None:
    x_BD, w_CD, y_B, scale_B = inputs(8, 40, 12)
    w_CD[7] = 0
    y_B[2] = 7
    ours, truth = (
        results(function, (x_BD, w_CD, y_B, scale_B), "none", dtype)
        for function, dtype in ((softmax_terms_triton, torch.float32), (softmax_terms_eager, torch.float64))
    )
    for a, e in zip(ours, truth, strict=True):
        torch.testing.assert_close(a.double(), e, rtol=2e-5, atol=1e-5)


@needs_triton
def test_a_centre_of_zeros_has_a_finite_gradient(interpreted):
    interpreted(check_zero_center)


def check_views_and_partial_gradients() -> None:
    """Transposed, or starting 4 bytes off; gradients of one input of the three."""
    x_BD, w_CD, y_B, scale_B = inputs(9, 50, 8)
    shifted_CD = torch.cat([torch.zeros(1), w_CD.flatten()])[1:].view(50, 8)
    assert shifted_CD.data_ptr() % 16
    x_view_BD = x_BD.T.contiguous().T
    truth_leaves = [v.double().requires_grad_() for v in (x_BD, w_CD, scale_B)]
    truth = softmax_terms_eager(truth_leaves[0], truth_leaves[1], y_B, truth_leaves[2], None)
    expected = torch.autograd.grad(truth.negative_lse_B.sum() + truth.target_cosine_B.sum(), truth_leaves)
    for wanted in range(3):
        leaves = [x_view_BD, shifted_CD, scale_B]
        leaves[wanted] = leaves[wanted].detach().requires_grad_()
        terms = softmax_terms_triton(leaves[0], leaves[1], y_B, leaves[2], None)
        total = terms.negative_lse_B.sum() + terms.target_cosine_B.sum()  # its gradient is one number, expanded
        (gradient,) = torch.autograd.grad(total, leaves[wanted])
        torch.testing.assert_close(gradient.double(), expected[wanted], rtol=2e-5, atol=1e-5)
    one_1D = x_BD[0][:, None].T  # to torch contiguous, though its row is said to be 4 bytes long
    assert one_1D.is_contiguous() and one_1D.stride(0) == 1
    terms = softmax_terms_triton(one_1D, w_CD, y_B[:1], scale_B[:1], None)
    torch.testing.assert_close(terms.negative_lse_B.double(), truth.negative_lse_B[:1], rtol=1e-6, atol=1e-5)
    with torch.no_grad():
        assert not softmax_terms_triton(x_BD, w_CD.requires_grad_(), y_B, scale_B, None).negative_lse_B.requires_grad


@needs_triton
def test_views_and_gradients_of_some_inputs_only(interpreted):
    interpreted(check_views_and_partial_gradients)


def check_second_backward() -> None:
    x_BD, w_CD, y_B, scale_B = inputs(5, 40, 8)
    terms = softmax_terms(x_BD.requires_grad_(), w_CD, y_B.clamp(0, 39), scale_B, None, "triton")
    (gradient,) = torch.autograd.grad(terms.negative_lse_B.square().sum(), x_BD, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@needs_triton
def test_a_second_backward_raises(interpreted):
    interpreted(check_second_backward)


def check_hardest_class(kind: str, chunk_classes: int | None) -> None:
    """Against loops over exact cosines, half of which are ties; and the same terms and gradients, to the bit, as
    without it. A zero in every chunk's last place makes blocks that are not whole."""
    b, c, d = 19, 107, 6
    generator = torch.Generator().manual_seed(5)
    axes_CD = torch.eye(d)[torch.randint(0, d, (c,), generator=generator)]  # whose cosines are exact
    x_BD = torch.nn.functional.normalize(torch.randint(-3, 4, (b, d), generator=generator).float() + 0.25)
    y_B = torch.randint(-2, c + 2, (b,), generator=generator)
    hard, options = hard_negatives(kind, b, torch.float32), {"chunk_classes": chunk_classes, "hardest_class": True}
    terms = softmax_terms_triton(x_BD, axes_CD, y_B, torch.full((b,), 8.0), hard, **options)
    for i in range(b):
        best, best_class = -math.inf, -1
        for j in range(c):
            cosine = x_BD[i, int(axes_CD[j].argmax())].item()
            if j != int(y_B[i]) and cosine > best:
                best, best_class = cosine, j
        assert (terms.hardest_negative_B[i].item(), terms.hardest_class_B[i].item()) == (best, best_class)
    assert terms.hardest_class_B.dtype == torch.int64
    values = inputs(20, 90, 12)
    for shape in (values, (values[0], values[1][:1], torch.zeros_like(values[2]), values[3])):
        plain, with_class = (
            results(softmax_terms_triton, shape, kind, torch.float32, chunk_classes=chunk_classes, hardest_class=on)
            for on in (False, True)
        )
        assert all(torch.equal(a, e) for a, e in zip(plain, with_class, strict=True))
    x_BD, w_CD, _, scale_B = (v.detach() for v in values)
    assert softmax_terms_triton(x_BD, w_CD, values[2], scale_B, hard_negatives(kind, 20, torch.float32))[3] is None
    none = softmax_terms_triton(
        x_BD, w_CD[:1], torch.zeros(20, dtype=torch.int64), scale_B, hard_negatives(kind, 20, torch.float32), **options
    )
    assert none.hardest_class_B.tolist() == [-1] * 20
    x_BD = x_BD.detach().clone()
    x_BD[3, 5] = torch.nan
    broken = softmax_terms_triton(
        x_BD, w_CD, values[2], scale_B, hard_negatives(kind, 20, torch.float32), **options
    ).hardest_class_B
    assert (broken == -1).nonzero().flatten().tolist() == [3]


@needs_triton
@pytest.mark.parametrize("kind", ["none", "curricular"])
@pytest.mark.parametrize("chunk_classes", [None, 1, 40])
def test_the_hardest_class_is_the_loops(interpreted, kind, chunk_classes):
    interpreted(check_hardest_class, kind, chunk_classes)


def check_float64() -> None:
    x_BD, w_CD, y_B, scale_B = inputs(5, 40, 8)
    with pytest.raises(ConfigError, match=r'float32, got torch\.float64: use "chunked"'):
        softmax_terms_triton(x_BD.double(), w_CD.double(), y_B, scale_B.double(), None)


@needs_triton
def test_float64_is_refused(interpreted):
    interpreted(check_float64)


def check_head(name: str) -> None:
    """Three steps of a head, its statistics included, with a label −1, against the eager one in float64."""
    ours, truth = (
        create_head(name, 70, 24, implementation=implementation, generator=torch.Generator().manual_seed(0))
        for implementation in ("triton", "eager")
    )
    truth = truth.double()
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        labels_B = torch.randint(0, 70, (21,), generator=generator)
        features_BD = 3 * torch.randn(21, 24, generator=generator)
        features_BD += 20 * torch.nn.functional.normalize(ours.weight.detach())[labels_B]
        labels_B[4] = -1
        found = []
        for head, dtype in ((ours, torch.float32), (truth, torch.float64)):
            leaf_BD = features_BD.to(dtype).requires_grad_()
            out = head(leaf_BD, labels_B)
            values = (out.loss, out.losses_B, out.hardest_negative_B, out.certainty_ratio_B, out.margin_scaler_B)
            found.append((*values, *torch.autograd.grad(out.loss, (leaf_BD, head.weight))))
        for a, e in zip(*found, strict=True):
            a, e = a.double().nan_to_num(99), e.nan_to_num(99)
            assert (a - e).norm() <= 1e-4 * e.norm() + 1e-6
    for a, e in zip(ours.buffers(), truth.buffers(), strict=True):
        torch.testing.assert_close(a.double(), e.double(), rtol=1e-4, atol=1e-5)


@needs_triton
@pytest.mark.parametrize("name", [name for name in list_margins() if not margin_class(name).binary])
def test_every_margin_over_a_triton_head(interpreted, name):
    interpreted(check_head, name)


# What follows runs in this process or in others that interpret nothing.


@needs_triton
@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET=1 lets it run on the CPU")
def test_another_device_is_refused():
    with pytest.raises(ConfigError, match='needs an NVIDIA GPU, but the features are on cpu: use "chunked"'):
        softmax_terms_triton(*inputs(3, 4, 8), None)


@pytest.mark.parametrize(
    ("module", "found"),
    [(None, "it is not installed"), (SimpleNamespace(__version__="3.5.1"), "version 3.5.1 is installed")],
)
def test_a_missing_or_old_triton_is_named(monkeypatch, module, found):
    monkeypatch.setitem(sys.modules, "triton", module)
    with pytest.raises(ConfigError, match=f'needs triton 3.6 or later, but {found}: run pip install "triton>=3.6"'):
        softmax_terms_triton(*inputs(3, 4, 8), None)


def test_without_triton_the_rest_works():
    code = """
import sys
sys.modules["triton"] = None
import torch, facemargin
head = facemargin.create_head("arcface", 5, 8, implementation="chunked")
head(torch.randn(3, 8), torch.tensor([0, 1, 2])).loss.backward()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=900)


@pytest.mark.parametrize("capability", [(7, 5), (8, 0), (12, 0)])
@needs_triton
def test_devices_from_ampere_on_are_taken(monkeypatch, capability):
    properties = SimpleNamespace(major=capability[0], minor=capability[1], multi_processor_count=7, name="a card")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(triton_launch, "triton_kernels", lambda: SimpleNamespace(INTERPRETED=False))
    if capability < (8, 0):
        with pytest.raises(ConfigError, match=r"compute capability 8\.0 or later, but a card has 7\.5"):
            Launch.on(torch.device("cuda"))
    else:
        assert Launch.on(torch.device("cuda")).programs == 56


def test_a_chunk_has_programs_enough_and_none_without_work():
    launch = Launch(SimpleNamespace(), 1, 1024, 1056)
    assert launch.parts(1024, 32_768) == 1
    assert launch.parts(100, 32_768) == 10
    assert launch.parts(1, 3000) == 3
    assert launch.parts(4096, 1) == 1


class CompileOnly:
    """In a kernel's place: compiles what a launch would, for `capability`, and keeps it in `compiled`."""

    def __init__(self, kernel, compiled: dict) -> None:
        self.kernel, self.compiled = kernel, compiled

    def __getitem__(self, grid):
        def launch(*arguments, **options) -> None:
            binary = self.kernel.run(*arguments, grid=grid, warmup=True, **options)
            self.compiled.setdefault(self.kernel.__name__, []).append(binary)

        return launch


def compile_step(capability: int, hard: bool, backward: str, hardest_class: bool) -> dict[str, dict[str, int]]:
    """Compiles the kernels of a step (D = 512) for a device that need not be there, arguments and all.

    For each its registers and bytes of stack (spills) per thread, bytes of shared memory, and counts of instructions.
    """
    import triton
    from triton.backends.compiler import GPUTarget

    from facemargin.heads import triton_kernels

    triton.runtime.driver.set_active(
        SimpleNamespace(
            get_current_device=lambda: 0,
            get_current_stream=lambda device: 0,
            get_current_target=lambda: GPUTarget("cuda", capability, 32),
        )
    )
    compiled: dict[str, list] = {}
    names = ("inverse_norms_kernel", "statistics_kernel", "gradient_kernel", "project_kernel")
    kernels = SimpleNamespace(**{name: CompileOnly(getattr(triton_kernels, name), compiled) for name in names})
    launch = Launch(kernels, triton_launch._BLOCK_B, triton_launch._BLOCK_K, 1056)
    x_BD, w_CD, y_B, scale_B = inputs(300, 2000, 512)
    threshold = hard_negatives("square", 300, torch.float32) if hard else None
    leaves = x_BD.requires_grad_(), w_CD.requires_grad_(), scale_B.requires_grad_(hard)
    terms = head_triton._Fused.apply(
        leaves[0], leaves[1], y_B, leaves[2], threshold, 512, backward, hardest_class, launch
    )
    (terms[0].sum() + terms[1].sum()).backward()
    assert list(compiled) == list(names)
    assert len(compiled["gradient_kernel"]) == len(compiled["project_kernel"]) == 4
    assert all(len(set(map(id, binaries))) == 1 for binaries in compiled.values()), "compiled again for a later chunk"
    tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    report = {}
    for name, (binary, *_) in compiled.items():
        path = Path(os.environ["TRITON_CACHE_DIR"]) / f"{name}.cubin"
        path.write_bytes(binary.asm["cubin"])
        usage = subprocess.run([tool, "-res-usage", path], capture_output=True, text=True, check=True).stdout
        registers, stack = (int(re.search(rf"{key}:(\d+)", usage)[1]) for key in ("REG", "STACK"))
        ptx = binary.asm["ptx"]
        report[name] = {"registers": registers, "stack": stack, "shared": binary.metadata.shared}
        report[name] |= {key: len(re.findall(key, ptx)) for key in (r"ld\.global.*\.v4", r"st\.global.*\.v4", "atom")}
    return report


@pytest.fixture(scope="module")
def compiler(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("TRITON_INTERPRET", raising=False)
        patch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.mktemp("triton")))
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=quiet)
        pool.submit(int).result()
    with pool:
        yield lambda *arguments: pool.submit(compile_step, *arguments).result()


@needs_triton
@pytest.mark.parametrize("capability", [80, 89, 90, 120])
@pytest.mark.parametrize(
    ("hard", "backward", "hardest_class"),
    [(False, "float32", False), (True, "bf16", False), (False, "float32", True), (True, "bf16", True)],
)
def test_kernels_compile_without_spills_and_add_in_a_fixed_order(compiler, capability, hard, backward, hardest_class):
    for name, found in compiler(capability, hard, backward, hardest_class).items():
        assert found["stack"] == 0 and found["shared"] <= 99 * 1024, (name, found)
        assert found["atom"] == 0, f"{name} adds in whatever order its programs finish"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["none", "square"])
@pytest.mark.parametrize(("precision", "tolerance"), [("ieee", 5e-5), ("tf32", 5e-3)])
def test_on_a_gpu_it_equals_chunked_in_float64(kind, precision, tolerance):
    values = tuple(v.cuda() for v in inputs(300, 20_011, 512))
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = precision
    try:
        with torch.device("cuda"):
            ours, again = (
                results(softmax_terms_triton, values, kind, torch.float32, chunk_classes=4096) for _ in range(2)
            )
    finally:
        torch.backends.cuda.matmul.fp32_precision = before
    with torch.device("cuda"):
        truth = results(softmax_terms_chunked, values, kind, torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    for a, e in zip(ours, truth, strict=True):
        assert (a.double() - e).norm() <= tolerance * e.norm()
