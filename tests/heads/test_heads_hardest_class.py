"""The class of the hardest negative: every implementation, shard and sample of classes against loops, ties included.

Shapes: B samples, C classes, D feature values.
"""

import math

import pytest
import torch

from facemargin.heads import create_head
from facemargin.heads.chunked import softmax_terms_chunked, softmax_terms_recomputed
from facemargin.heads.hardest_negative import hardest_negatives
from facemargin.heads.largest import largest_with_index
from facemargin.heads.sharding import combine_terms
from facemargin.heads.softmax_terms import softmax_terms, softmax_terms_eager
from facemargin.margins import HardNegatives, SoftmaxTerms, list_margins
from tests.processes import run_processes

B, C, D = 11, 83, 6
IMPLEMENTATIONS = {
    "eager": softmax_terms_eager,
    "chunked": softmax_terms_chunked,
    "chunks of 1": lambda *tensors, **options: softmax_terms_chunked(*tensors, chunk_classes=1, **options),
    "chunks of 7": lambda *tensors, **options: softmax_terms_chunked(*tensors, chunk_classes=7, **options),
    "chunks of 40": lambda *tensors, **options: softmax_terms_chunked(*tensors, chunk_classes=40, **options),
    "recomputed": softmax_terms_recomputed,
}
HARD = {"none": None, "curricularface": (1.0, 0.3, 0.0), "interclass filtering": (0.0, 0.0, 0.0)}


def inputs(seed=0):
    """Float64 samples, centres with ties (axes, whose cosines are exact) and without, labels also of other shards."""
    g = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.normalize(torch.randn(B, D, generator=g, dtype=torch.float64))
    axes = torch.eye(D, dtype=torch.float64)[torch.randint(0, D, (C,), generator=g)] * 4
    centers = torch.randn(C, D, generator=g, dtype=torch.float64) if seed % 2 else axes
    return x, centers, torch.randint(-2, C + 2, (B,), generator=g), torch.rand(B, generator=g).double() * 60 + 1


def of_loops(x, w, y):
    """(hardest cosine, its class) of every sample."""
    found = []
    for i in range(len(x)):
        best, best_class = -math.inf, -1
        for j in range(len(w)):
            norm = math.sqrt(sum(float(v) ** 2 for v in w[j]))
            cosine = sum(float(a) * float(b) for a, b in zip(x[i], w[j], strict=True)) / norm
            if j != int(y[i]) and cosine > best:
                best, best_class = cosine, j
        found.append((best, best_class))
    return found


def hard_negatives(kind):
    quadratic = HARD[kind]
    return quadratic and HardNegatives(torch.linspace(-0.5, 0.5, B, dtype=torch.float64), *quadratic)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
@pytest.mark.parametrize("seed", range(4))
def test_the_class_is_the_loops(name, kind, seed):
    x, w, y, scale = inputs(seed)
    terms = IMPLEMENTATIONS[name](x, w, y, scale, hard_negatives(kind), hardest_class=True)
    assert terms.hardest_class_B.dtype == torch.int64
    for i, (cosine, number) in enumerate(of_loops(x, w, y)):
        assert terms.hardest_negative_B[i].item() == pytest.approx(cosine, abs=1e-12)
        assert terms.hardest_class_B[i].item() == number


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_nothing_else_changes_by_a_bit(name, kind):
    outcomes = []
    for wanted in (False, True):
        x, w, y, scale = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(1))
        terms = IMPLEMENTATIONS[name](x, w, y, scale, hard_negatives(kind), hardest_class=wanted)
        assert (terms.hardest_class_B is None) != wanted
        total = terms.negative_lse_B.sum() - terms.target_cosine_B.square().sum()
        outcomes.append([*terms[:3], *torch.autograd.grad(total, (x, w, scale))])
    assert all(torch.equal(a, b) for a, b in zip(*outcomes, strict=True))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_there_is_no_class_without_negatives_or_with_nan(name):
    x, w, y, scale = inputs(1)
    alone = IMPLEMENTATIONS[name](x, w[:1], torch.zeros_like(y), scale, None, hardest_class=True)
    empty = IMPLEMENTATIONS[name](x, w[:0], y, scale, None, hardest_class=True)
    assert alone.hardest_class_B.tolist() == empty.hardest_class_B.tolist() == [-1] * B
    x[4, 2] = math.nan
    terms = IMPLEMENTATIONS[name](x, w, y, scale, None, hardest_class=True)
    assert (terms.hardest_class_B == -1).nonzero().flatten().tolist() == [4]


def test_the_public_function_takes_the_option():
    terms = softmax_terms(torch.eye(2, 4), torch.eye(3, 4), torch.tensor([0, 1]), torch.ones(2), hardest_class=True)
    assert terms.hardest_class_B.tolist() == [1, 0]


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("size", [1, 2, 31, 32, 33, 64, 100, 1000])
def test_the_largest_with_its_index_is_torchs(size, dim):
    g = torch.Generator().manual_seed(size)
    values = torch.randint(-20, 20, (9, size), generator=g).float()
    values[1] = -torch.inf
    values[2, size // 2] = math.nan
    values[3, -1] = 99
    values = values if dim == 1 else values.T.contiguous()
    largest, index = largest_with_index(values, dim)
    expected = values.max(dim)
    torch.testing.assert_close(largest, expected.values, equal_nan=True, rtol=0, atol=0)
    assert torch.equal(index, expected.indices)


@pytest.mark.parametrize("seed", range(4))
def test_the_search_over_all_centres_finds_it_too(seed, monkeypatch):
    monkeypatch.setattr("facemargin.heads.hardest_negative._CHUNK_COSINES", 1)
    x, w, y, _ = inputs(seed)
    w = torch.cat([w, w, w, w])  # more than a chunk, with the same again in each
    hardest, number = hardest_negatives(x, w, y, hardest_class=True)
    expected = of_loops(x, w, y)
    torch.testing.assert_close(hardest, torch.tensor([cosine for cosine, _ in expected], dtype=torch.float64))
    if seed % 2 == 0:  # the cosines of the repetitions are the same only where they are exact
        assert number.tolist() == [number for _, number in expected]
    assert hardest_negatives(x, w, y)[1] is None


def batch():
    g = torch.Generator().manual_seed(2)
    labels = torch.randint(0, C, (B,), generator=g)
    labels[3] = -1
    return torch.randn(B, D, generator=g, dtype=torch.float64) * 9, labels


@pytest.mark.parametrize("name", list_margins())
def test_every_margin_tells_the_class_and_the_negatives_log_sum_exp(name):
    x, y = batch()
    head = create_head(name, C, D, hardest_class=True, generator=torch.Generator().manual_seed(1)).double()
    out = head(x, y)
    expected = [n for _, n in of_loops(torch.nn.functional.normalize(x), head.weight.detach(), y)]
    expected[3] = -1
    assert out.hardest_class_B.tolist() == expected
    without = list(range(B)) if head.margin.binary else [3]  # there is no log-sum-exp without a softmax
    assert out.negative_lse_B.isnan().nonzero().flatten().tolist() == without and not out.negative_lse_B.requires_grad
    plain = create_head(name, C, D, generator=torch.Generator().manual_seed(1)).double()(x, y)
    assert plain.hardest_class_B is None and torch.equal(plain.losses_B, out.losses_B)


@pytest.mark.parametrize("name", ["arcface", "lh2face"])
def test_the_log_sum_exp_is_at_the_margins_scale(name):
    x, y = batch()
    head = create_head(name, C, D).double()
    out = head(x, y)
    for i in range(B):
        if i == 3:
            continue
        norm = math.sqrt(sum(float(v) ** 2 for v in x[i]))
        scale = norm if name == "lh2face" else head.margin.config.scale
        cosines = [
            float(x[i] @ w) / norm / float(w.norm()) for j, w in enumerate(head.weight.detach()) if j != int(y[i])
        ]
        expected = math.log(sum(math.exp(scale * cosine) for cosine in cosines))
        assert out.negative_lse_B[i].item() == pytest.approx(expected, abs=1e-9)


ROWS = {None: [B], 2: [4, 7], 4: [3, 0, 6, 2]}


def class_of_head(group, options):
    """The class and cosine that a head finds for this process's rows, and the cosines to all its centres."""
    x, y = batch()
    made = create_head("cosface", C, D, process_group=group, hardest_class=True,
                       generator=torch.Generator().manual_seed(1), **options).double()  # fmt: skip
    first, last = made.class_range
    with torch.no_grad():
        made.weight.copy_(inputs(0)[1][first:last])  # axes: ties within a shard and across them
    size, rank = (None, 0) if group is None else (group.size(), group.rank())
    out = made(x.split(ROWS[size])[rank], y.split(ROWS[size])[rank])
    sampled = range(first, last) if made.sampled is None else (made.sampled.index_S + first).tolist()
    return out.hardest_class_B.tolist(), out.hardest_negative_B.tolist(), list(sampled)


KINDS = {
    "all classes": {},
    "sampled": {"sample_rate": 0.3},
    "sampled, exact": {"sample_rate": 0.3, "exact_hardest_negative": True},
}


def classes_of_heads(group):
    return {kind: class_of_head(group, options) for kind, options in KINDS.items()}


def check_classes(of_processes):
    """Each process's `classes_of_heads` against loops over the classes that all of them looked at."""
    x, y = batch()
    centers = inputs(0)[1]
    for kind in KINDS:
        parts = [found[kind] for found in of_processes]
        looked_at = sorted(number for part in parts for number in part[2])
        if kind == "sampled, exact" or kind == "all classes":
            assert len(looked_at) < C or kind == "all classes"
            looked_at = list(range(C))
        expected = []
        for i in range(B):
            places = [number for number in looked_at if number != int(y[i])]
            cosine, place = of_loops(torch.nn.functional.normalize(x[i : i + 1]), centers[places], [-9])[0]
            expected.append((-1, math.nan) if y[i] < 0 else (places[place], cosine))
        assert [number for part in parts for number in part[0]] == [number for number, _ in expected]
        cosines = [cosine for part in parts for cosine in part[1]]
        assert cosines == pytest.approx([cosine for _, cosine in expected], abs=1e-12, nan_ok=True)


def test_one_process_alone():
    check_classes([classes_of_heads(None)])


@pytest.mark.parametrize("processes", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_shards_give_the_class_of_the_plain_head(processes):
    check_classes(run_processes(classes_of_heads, processes))


def combined(group):
    """Classes above 2²⁴, which a float32 cannot hold, in ties and NaN."""
    rank = group.rank()
    cosines = torch.tensor([[0.5, 0.25, 0.5, -torch.inf], [0.25, 0.5, 0.5, -torch.inf]])[rank]
    numbers = torch.tensor([[2**24 + 1, 7, 2**24 + 3, -1], [2**30, 2**30 + 1, 2**30 + 5, -1]])[rank]
    terms = SoftmaxTerms(torch.zeros(4), torch.zeros(4), cosines, numbers)
    return combine_terms(terms, group).hardest_class_B.tolist()


def test_large_class_numbers_travel_whole():
    assert run_processes(combined, 2) == [[2**24 + 1, 2**30 + 1, 2**24 + 3, -1]] * 2
