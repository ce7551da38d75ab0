"""The chunked and the recomputed implementation: shards, every chunk size, memory."""

import subprocess
import sys

import pytest
import torch

from facemargin.heads import chunked
from facemargin.heads.chunked import softmax_terms_chunked, softmax_terms_recomputed
from facemargin.heads.softmax_terms import softmax_terms_eager
from facemargin.margins import HardNegatives

B, D = 7, 5
HARD = {"none": None, "curricular": (1.0, 0.3, 0.0), "mv": (0.0, 1.2, 0.2), "filter": (0.0, 0.0, 0.0)}


def inputs(classes, b=B):
    generator = torch.Generator().manual_seed(classes)
    x = torch.nn.functional.normalize(torch.randn(b, D, generator=generator, dtype=torch.float64))
    w = torch.randn(classes, D, generator=generator, dtype=torch.float64)
    y = torch.randint(-9, classes + 9, (b,), generator=generator)  # some are another shard's
    scale = torch.rand(b, generator=generator, dtype=torch.float64) * 30 + 1
    return x, w, y, scale


def hard_negatives(kind, b=B):
    if HARD[kind] is None:
        return None
    return HardNegatives(torch.linspace(-0.5, 0.5, b, dtype=torch.float64), *HARD[kind])


def with_gradients(implementation, values, hard, **options):
    x, w, y, scale = (v.clone().requires_grad_() if v.is_floating_point() else v for v in values)
    terms = implementation(x, w, y, scale, hard, **options)
    lse = terms.negative_lse_B
    (lse.masked_fill(lse == -torch.inf, 0).square().sum() + terms.target_cosine_B.exp().sum()).backward()
    zero = torch.zeros_like
    return (*(t.detach() for t in terms[:3]), *(zero(v) if v.grad is None else v.grad for v in (x, w, scale)))


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("chunk_classes", [1, 4, 29, 1000])
@pytest.mark.parametrize("classes", [0, 1, 2, 29])
def test_shards_equal_the_definition(classes, chunk_classes, kind):
    values, hard = inputs(classes), hard_negatives(kind)
    expected = with_gradients(softmax_terms_eager, values, hard)
    found = with_gradients(softmax_terms_chunked, values, hard, chunk_classes=chunk_classes)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_samples_of_other_shards_go_to_different_rows_and_change_none(monkeypatch):
    """CUDA adds what goes to one row one after the other, and nearly all samples are of other shards."""
    x, w, y, scale = inputs(29, b=20)
    y = torch.where(torch.arange(20) % 5 == 0, torch.arange(20), torch.arange(20) + 1000)
    local, rows = chunked.own_rows(y, 29)
    assert local.tolist() == [i % 5 == 0 for i in range(20)] and rows.unique().numel() == 20
    found = with_gradients(softmax_terms_chunked, (x, w, y, scale), None)
    monkeypatch.setattr(chunked, "own_rows", lambda y, classes: (local, y.where(local, 0)))
    in_one_row = with_gradients(softmax_terms_chunked, (x, w, y, scale), None)
    assert all(torch.equal(a, b) for a, b in zip(found, in_one_row, strict=True))


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("kept_bytes", [0, 8 * B * 4 * 3, 2**40])
def test_what_is_kept_changes_no_bit(kept_bytes, kind):
    values, hard = inputs(29), hard_negatives(kind)
    kept = with_gradients(softmax_terms_chunked, values, hard, chunk_classes=4)
    other = with_gradients(softmax_terms_chunked, values, hard, chunk_classes=4, kept_bytes=kept_bytes)
    assert all(torch.equal(a, b) for a, b in zip(kept, other, strict=True))
    default = with_gradients(softmax_terms_chunked, values, hard)
    recomputed = with_gradients(softmax_terms_recomputed, values, hard)
    assert all(torch.equal(a, b) for a, b in zip(default, recomputed, strict=True))


def test_an_empty_batch():
    terms = with_gradients(softmax_terms_chunked, inputs(11, b=0), None)
    assert all(len(t) == 0 for t in terms[:3]) and torch.equal(terms[4], torch.zeros(11, D).double())


def test_nan_stays_visible():
    x, w, y, scale = inputs(29)
    x[2, 1] = torch.nan
    terms = softmax_terms_chunked(x, w, y, scale, None, chunk_classes=4)
    assert terms.negative_lse_B.isnan().tolist() == [i == 2 for i in range(B)]
    assert terms.hardest_negative_B.isnan()[2]


def test_gradients_of_two_steps_do_not_share_memory():
    """Large blocks are used again: not while somebody still looks at them."""
    x = torch.nn.functional.normalize(torch.randn(4, 256))
    w = torch.randn(40_000, 256, requires_grad=True)  # a gradient of 40 MB
    scale, y = torch.full((4,), 16.0), torch.arange(4)
    first = torch.autograd.grad(softmax_terms_chunked(x, w, y, scale, None).negative_lse_B.sum(), w)[0]
    copy = first.clone()
    view = first[10:20]
    del first
    second = torch.autograd.grad(softmax_terms_chunked(-x, w, y, scale, None).negative_lse_B.sum(), w)[0]
    assert torch.equal(view, copy[10:20]) and not torch.equal(second, copy)


MEMORY = """
import sys, torch
from pathlib import Path
from facemargin.heads.softmax_terms import IMPLEMENTATIONS
torch.set_num_threads(1)
run = IMPLEMENTATIONS[sys.argv[1]]
b, c, d = 256, 120000, 16
x = torch.nn.functional.normalize(torch.randn(b, d)).requires_grad_()
w = torch.randn(c, d, requires_grad=True)
y, scale = torch.randint(0, c, (b,)), torch.full((b,), 64.0)
run(x, w[:512], y % 512, scale, None).negative_lse_B.sum().backward()
w.grad = torch.ones_like(w)
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
before = peak()
run(x, w, y, scale, None).negative_lse_B.sum().backward()
print(peak() - before)
"""


@pytest.mark.parametrize(("name", "limit"), [("chunked", 256 * 120000 * 4 / 2**20 + 40), ("recomputed", 64)])
def test_memory_is_one_matrix_or_bounded(name, limit):
    done = subprocess.run([sys.executable, "-c", MEMORY, name], capture_output=True, check=True, text=True)
    megabytes = int(done.stdout) / 2**10 - 120000 * 16 * 4 / 2**20  # less the new gradient
    assert megabytes < limit
    assert name == "recomputed" or megabytes > 100  # it keeps the cosines: 117 MB
