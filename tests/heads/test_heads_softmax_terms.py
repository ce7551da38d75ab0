import math

import pytest
import torch

from facemargin.errors import DataError
from facemargin.heads.chunked import softmax_terms_chunked
from facemargin.heads.softmax_terms import softmax_terms
from facemargin.margins import HardNegatives

B, C, D = 7, 29, 5


def inputs(seed=0, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.normalize(torch.randn(B, D, generator=g, dtype=dtype))
    w = torch.randn(C, D, generator=g, dtype=dtype) * torch.rand(C, 1, generator=g, dtype=dtype).add(0.1)
    y = torch.randint(0, C, (B,), generator=g)
    scale = torch.rand(B, generator=g, dtype=dtype) * 60 + 1
    return x, w, y, scale


HARD = {
    "none": None,
    "curricularface": (1.0, 0.3, 0.0),
    "mv-softmax": (0.0, 1.2, 0.2),
    "interclass filtering": (0.0, 0.0, 0.0),
}


def hard_negatives(kind):
    if HARD[kind] is None:
        return None
    alpha, beta, gamma = HARD[kind]
    return HardNegatives(torch.linspace(-0.5, 0.5, B, dtype=torch.float64), alpha, torch.tensor(beta), gamma)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_terms_equal_the_loops(implementation, kind):
    x, w, y, scale = inputs()
    hard = hard_negatives(kind)
    terms = softmax_terms(x, w, y, scale, hard, implementation)
    for i in range(B):
        logits, hardest, target = [], -math.inf, None
        for j in range(C):
            c = sum(float(x[i, d]) * float(w[j, d]) for d in range(D)) / math.sqrt(sum(float(v) ** 2 for v in w[j]))
            if j == int(y[i]):
                target = c
                continue
            hardest = max(hardest, c)
            if hard is not None and c > float(hard.threshold_B[i]):
                c = float(hard.alpha) * c * c + float(hard.beta) * c + float(hard.gamma)
            logits.append(float(scale[i]) * c)
        peak = max(logits)
        assert terms.target_cosine_B[i].item() == pytest.approx(target, abs=1e-12)
        expected = peak + math.log(sum(math.exp(v - peak) for v in logits))
        assert terms.negative_lse_B[i].item() == pytest.approx(expected, abs=1e-10)
        assert terms.hardest_negative_B[i].item() == pytest.approx(hardest, abs=1e-12)
    assert not terms.hardest_negative_B.requires_grad


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("chunk_classes", [1, 4, 29, 1000])
def test_chunked_gradients_equal_finite_differences_at_any_chunk_size(kind, chunk_classes):
    x, w, y, scale = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(1))
    hard = hard_negatives(kind)

    def terms(x, w, scale):
        return softmax_terms_chunked(x, w, y, scale, hard, chunk_classes)[:2]

    assert torch.autograd.gradcheck(terms, (x, w, scale), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", HARD)
def test_eager_gradients_equal_finite_differences(kind):
    x, w, y, scale = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(2))
    hard = hard_negatives(kind)

    def terms(x, w, scale):
        return softmax_terms(x, w, y, scale, hard, "eager")[:2]

    assert torch.autograd.gradcheck(terms, (x, w, scale), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_a_second_backward_raises(implementation):
    x, w, y, scale = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(3))
    terms = softmax_terms(x, w, y, scale, None, implementation)
    (gradient,) = torch.autograd.grad(terms.negative_lse_B.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_one_class_has_no_negatives(implementation):
    x = torch.nn.functional.normalize(torch.randn(3, D)).requires_grad_()
    w = torch.randn(1, D, requires_grad=True)
    scale = torch.full((3,), 64.0, requires_grad=True)
    terms = softmax_terms(x, w, torch.zeros(3, dtype=torch.int64), scale, None, implementation)
    assert torch.equal(terms.negative_lse_B, torch.full((3,), -torch.inf))
    assert torch.equal(terms.hardest_negative_B, torch.full((3,), -torch.inf))
    losses = torch.logaddexp(torch.zeros(3), terms.negative_lse_B - 64 * terms.target_cosine_B)
    assert torch.equal(losses, torch.zeros(3))
    losses.sum().backward()
    assert all(v.grad is None or v.grad.isfinite().all() for v in (x, w, scale))


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_large_scales_do_not_overflow(implementation):
    x, w, y, scale = inputs(4, torch.float32)
    terms = softmax_terms(x, w, y, scale * 1e4, None, implementation)
    assert terms.negative_lse_B.isfinite().all()
    torch.testing.assert_close(terms.negative_lse_B, scale * 1e4 * terms.hardest_negative_B, rtol=1e-3, atol=3)


def test_chunked_keeps_no_product_of_all_classes():
    """Peak extra memory of forward and backward stays near a chunk, far below B×C."""
    import subprocess
    import sys

    code = """
import resource, torch
from facemargin.heads.chunked import softmax_terms_chunked
torch.set_num_threads(1)
b, c, d = 256, 60000, 16
x = torch.nn.functional.normalize(torch.randn(b, d)).requires_grad_()
w = torch.randn(c, d, requires_grad=True)
y, scale = torch.randint(0, c, (b,)), torch.full((b,), 64.0)
softmax_terms_chunked(x, w[:512], y % 512, scale, None).negative_lse_B.sum().backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
softmax_terms_chunked(x, w, y, scale, None, 1024).negative_lse_B.sum().backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown_kilobytes = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    product_kilobytes = 256 * 60000 * 4 // 1024
    assert grown_kilobytes < product_kilobytes / 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, w, y, s: (x[:, :3], w, y, s), "do not fit"),
        (lambda x, w, y, s: (x, w, y[:2], s), r"expected \(B,\)"),
        (lambda x, w, y, s: (x, w, y + C, s), f"expected 0 to {C - 1}"),
        (lambda x, w, y, s: (x, w, y * 0 - 1, s), "labels run from -1 to -1"),
        (lambda x, w, y, s: (x, w, y.int(), s), "torch.int64"),
        (lambda x, w, y, s: (x.half(), w, y, s), "float16"),
    ],
)
def test_inputs_that_do_not_fit_are_named(change, message):
    with pytest.raises(DataError, match=message):
        softmax_terms(*change(*inputs()))
