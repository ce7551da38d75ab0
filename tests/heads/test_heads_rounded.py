"""`backward="bf16"` of the chunked implementations: what it rounds, by how much, and where it is refused."""

import logging
import math

import pytest
import torch

from facemargin import create_head
from facemargin.errors import ConfigError
from facemargin.heads import choice, rounded_products
from facemargin.heads.binary_terms import binary_terms_chunked
from facemargin.heads.chunked import softmax_terms_chunked
from facemargin.margins import HardNegatives
from facemargin.margins.base import BinaryNegatives


@pytest.fixture
def fast_bf16(monkeypatch):
    """A processor without the instructions computes the same, in small sizes soon enough."""
    monkeypatch.setattr(rounded_products, "computes_bf16", lambda device: True)


def rounded(value: float) -> float:
    return float(torch.tensor(value).bfloat16())


def gradients_by_loops(x, w, y, scale, grad_lse, rounds):
    """d Σ_b grad_lse_b · lse_b / d(x, w) in float64, sample by sample and class by class; with `rounds`, of factors
    rounded where the implementation rounds them."""
    keep = rounded if rounds else float
    norms = [math.sqrt(sum(v * v for v in row)) for row in w]
    grad_x, grad_w = ([[0.0] * len(w[0]) for _ in rows] for rows in (x, w))
    for b, sample in enumerate(x):
        cosines = [sum(p * q for p, q in zip(sample, row, strict=True)) / n for row, n in zip(w, norms, strict=True)]
        exponentials = [0.0 if k == y[b] else math.exp(scale[b] * c) for k, c in enumerate(cosines)]
        factor = grad_lse[b] * scale[b]
        for k, row in enumerate(w):
            share = exponentials[k] / sum(exponentials)
            kept = keep(share / norms[k])
            for d, value in enumerate(row):
                grad_x[b][d] += factor * kept * keep(value)
                grad_w[k][d] += kept * keep(factor * sample[d]) - factor * share * cosines[k] / norms[k] ** 2 * value
    return torch.tensor(grad_x, dtype=torch.float64), torch.tensor(grad_w, dtype=torch.float64)


@pytest.mark.parametrize("chunk_classes", [4, 100])
def test_gradients_are_those_of_rounded_factors(fast_bf16, chunk_classes):
    generator = torch.Generator().manual_seed(3)
    x = torch.nn.functional.normalize(torch.randn(5, 12, generator=generator)).requires_grad_()
    w = torch.randn(23, 12, generator=generator).requires_grad_()
    y, scale = torch.tensor([0, 22, 5, -4, 40]), torch.linspace(3, 9, 5)  # two are another shard's
    weight = torch.linspace(0.5, 1.5, 5)
    terms = softmax_terms_chunked(x, w, y, scale, None, chunk_classes=chunk_classes, backward="bf16")
    found = torch.autograd.grad((weight * terms.negative_lse_B).sum(), (x, w))
    lists = [values.detach().double().tolist() for values in (x, w, y, scale, weight)]
    for ours, of_rounded, exact in zip(
        found, gradients_by_loops(*lists, rounds=True), gradients_by_loops(*lists, rounds=False), strict=True
    ):
        error, rounding = ((values - exact).norm() / exact.norm() for values in (ours, of_rounded))
        assert (ours - of_rounded).norm() < 2.5e-3 * exact.norm()  # the sums, rounded once
        assert 3e-4 < rounding < 4e-3 and 3e-4 < error < 5e-3


HARD = {"softmax": None, "hard negatives": HardNegatives(torch.linspace(-0.2, 0.3, 9), 0.7, -0.4, 0.1)}


def outcome(kind, centers, backward, **options):
    """Terms, and the gradients of x, W and scale."""
    generator = torch.Generator().manual_seed(len(kind))
    w = torch.randn(50, *centers, 40, generator=generator).requires_grad_()
    x = torch.nn.functional.normalize(torch.randn(9, 40, generator=generator)).requires_grad_()
    y, scale = torch.randint(0, 50, (9,), generator=generator), torch.linspace(4, 20, 9).requires_grad_()
    options = {"chunk_classes": 16, "kept_bytes": 2**20, "backward": backward} | options
    if kind == "binary":
        terms = binary_terms_chunked(x, w, y, scale, BinaryNegatives(torch.linspace(-3, 1, 9), 3.0, False), **options)
    else:
        terms = softmax_terms_chunked(x, w, y, scale, HARD[kind], **options)
    total = terms[1].sum() - terms[0].square().sum()
    return [values.detach() for values in (*terms[:3], *torch.autograd.grad(total, (x, w, scale)))]


@pytest.mark.parametrize("kind", [*HARD, "binary"])
@pytest.mark.parametrize("centers", [(), (3,)])
def test_only_the_gradients_of_features_and_centers_change(fast_bf16, kind, centers):
    whole, ours = (outcome(kind, centers, backward) for backward in ("float32", "bf16"))
    again = outcome(kind, centers, "bf16", kept_bytes=0)
    for number, (one, other, recomputed) in enumerate(zip(whole, ours, again, strict=True)):
        assert torch.equal(other, recomputed)
        if number in (3, 4):
            assert 2e-4 < (one - other).norm() / one.norm() < 5e-3
        else:
            assert torch.equal(one, other)


@pytest.mark.parametrize("name", ["funface", "sphereface2"])
def test_the_error_is_the_one_that_is_stated(fast_bf16, name):
    """At scale 64, at the start and where samples lie near their own centres (docs/heads.md)."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(600, 512, generator=generator)
    y = torch.randint(0, 600, (64,), generator=generator)
    for near in (0.0, 1.0):
        features, found = near * w[y] + torch.randn(64, 512, generator=generator), []
        for dtype, options in ((torch.float32, {"backward": "bf16"}), (torch.float64, {})):
            head = create_head(name, 600, 512, implementation="chunked", **options).to(dtype)
            head.weight.data.copy_(w)
            leaf = features.to(dtype).requires_grad_()
            loss = head(leaf, y).loss
            found.append([v.detach().double() for v in (loss, *torch.autograd.grad(loss, (leaf, head.weight)))])
        loss, grad_x, grad_w = (float((a - e).norm() / e.norm()) for a, e in zip(*found, strict=True))
        assert loss < 1e-6 and 4e-4 < grad_x < 2e-3 and 4e-4 < grad_w < 2e-3, (near, loss, grad_x, grad_w)


def test_a_processor_without_the_instructions_says_so(monkeypatch, caplog):
    """ "auto" computes in float32 with one warning; what is asked for by name is refused."""
    monkeypatch.setattr(rounded_products, "computes_bf16", lambda device: False)
    monkeypatch.setattr(choice, "LARGEST_EAGER_PRODUCT", 10)
    choice._warn_once.cache_clear()
    features, labels = torch.ones(4, 8).cumsum(0).cumsum(1), torch.tensor([0, 1, 2, 2])

    def gradient(**options):
        head = create_head("arcface", 5, 8, generator=torch.Generator().manual_seed(0), **options)
        head(features, labels).loss.backward()
        return head.weight.grad

    with caplog.at_level(logging.WARNING):
        assert torch.equal(gradient(backward="bf16"), gradient(backward="bf16")) and len(caplog.records) == 1
        assert torch.equal(gradient(backward="bf16"), gradient())
    reason = r"this cpu has no instructions for products of bf16 \(AVX512_BF16 or AMX\), so they would take longer"
    assert caplog.records[0].message == (
        'backward="bf16" has no effect on cpu where the head computes with "chunked": ' + reason.replace("\\", "")
    )
    for name in ("chunked", "recomputed"):
        with pytest.raises(ConfigError, match=f'backward is "bf16", but {reason}: leave backward out'):
            gradient(implementation=name, backward="bf16")


def test_float64_is_refused(fast_bf16):
    x, scale = torch.eye(2, 4, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    with pytest.raises(ConfigError, match="it rounds products of float32, and these are of float64"):
        softmax_terms_chunked(x, x, torch.tensor([0, 1]), scale, None, backward="bf16")
