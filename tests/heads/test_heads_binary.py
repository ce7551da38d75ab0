"""Heads of binary classification: implementations, shards, sub-centres and the bias that all processes share.

Their losses are compared with loops in tests/margins. Shapes: B samples, C classes, K sub-centres, D feature values.
"""

import math

import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.heads import RowSGD, create_head
from facemargin.heads.binary_terms import binary_shard_terms, binary_terms_chunked, binary_terms_eager
from facemargin.interop import load_head
from facemargin.margins.base import BinaryNegatives
from tests.processes import run_processes

B, C, K, D = 9, 23, 2, 4
KINDS = {"plain": (1.0, False), "adjusted": (3.0, False), "straight through": (3.0, True), "flat": (1.5, False)}


def inputs(classes=C, sub_centers=None):
    g = torch.Generator().manual_seed(classes)
    x = torch.nn.functional.normalize(torch.randn(B, D, generator=g, dtype=torch.float64))
    shape = (classes, D) if sub_centers is None else (classes, sub_centers, D)
    w = torch.randn(shape, generator=g, dtype=torch.float64) * 3
    y = torch.randint(-3, classes + 3, (B,), generator=g)  # some are another shard's
    scale, offset = (torch.rand(B, generator=g, dtype=torch.float64) * times for times in (9, 4))
    return x, w, y, scale, offset - 4


def outcome(implementation, values, kind, **options):
    x, w, y, scale, offset = (v.clone().requires_grad_() if v.is_floating_point() else v for v in values)
    terms = implementation(x, w, y, scale, BinaryNegatives(offset, *KINDS[kind]), hardest_class=True, **options)
    (terms.negative_sum.square().sum() + terms.target_cosine_B.exp().sum()).backward()
    leaves = (x, w, scale, offset)
    return (*(t.detach() for t in terms), *(torch.zeros_like(v) if v.grad is None else v.grad for v in leaves))


@pytest.mark.parametrize("sub_centers", [None, K])
@pytest.mark.parametrize("classes", [0, 1, C])
@pytest.mark.parametrize("kind", KINDS)
def test_shards_equal_the_definition_whatever_is_kept(classes, kind, sub_centers):
    values = inputs(classes, sub_centers)
    expected = outcome(binary_terms_eager, values, kind)
    found = outcome(binary_terms_chunked, values, kind, chunk_classes=4, kept_bytes=2**20)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    again = outcome(binary_terms_chunked, values, kind, chunk_classes=4, kept_bytes=0)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))


@pytest.mark.parametrize("sub_centers", [None, K])
@pytest.mark.parametrize("kind", ["plain", "adjusted", "flat"])
def test_gradients_equal_finite_differences(kind, sub_centers):
    x, w, y, scale, offset = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(5, sub_centers))

    def terms(x, w, scale, offset):
        negatives = BinaryNegatives(offset, *KINDS[kind])
        return binary_terms_chunked(x, w, y, scale, negatives, chunk_classes=2, kept_bytes=10**6)[:2]

    assert torch.autograd.gradcheck(terms, (x, w, scale, offset), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_terms_equal_the_loops_and_differentiate_once(implementation):
    x, w, y, scale, offset = inputs()
    x.requires_grad_()
    terms = binary_shard_terms(x, w, y, scale, BinaryNegatives(offset, 3.0), implementation, hardest_class=True)
    for i in range(B):
        total, hardest, number = 0.0, -math.inf, -1
        for j in range(C):
            c = float(x[i].detach() @ w[j]) / float(w[j].norm())
            if j == int(y[i]):
                assert terms.target_cosine_B[i].item() == pytest.approx(c, abs=1e-12)
                continue
            if c > hardest:
                hardest, number = c, j
            total += math.log1p(math.exp(float(scale[i]) * (2 * ((c + 1) / 2) ** 3 - 1) + float(offset[i])))
        assert terms.negative_sum[i].item() == pytest.approx(total, abs=1e-10)
        assert terms.hardest_negative_B[i].item() == pytest.approx(hardest, abs=1e-12)
        assert terms.hardest_class_B[i].item() == number
    (gradient,) = torch.autograd.grad(terms.negative_sum.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("scale", [1e4, 1e30])
@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_large_scales_do_not_overflow(implementation, scale):
    x, w, y, _, offset = (v.float() if v.is_floating_point() else v for v in inputs())
    x.requires_grad_()
    scales = torch.full((B,), scale)
    terms = binary_shard_terms(x, w, y, scales, BinaryNegatives(offset, 3.0), implementation)
    terms.negative_sum.sum().backward()
    assert terms.negative_sum.isfinite().all() and x.grad.isfinite().all()


MARGINS = {"sphereface2": {"gradient": "opensphere"}, "uniface": {"negative_weight": 0.5}}
ROWS = {None: [B], 2: [5, 4]}


def batch(step):
    g = torch.Generator().manual_seed(step)
    return torch.randn(B, D, generator=g, dtype=torch.float64), torch.randint(-1, C, (B,), generator=g)


def trained(group):
    """What two steps give this process; the bias moves as the centres do."""
    found = {}
    size, rank = (None, 0) if group is None else (group.size(), group.rank())
    for name, settings in MARGINS.items():
        head = create_head(name, C, D, process_group=group, sub_centers=K, scale=8.0, hardest_class=True,
                           generator=torch.Generator().manual_seed(1), **settings).double()  # fmt: skip
        for step in range(2):
            head.zero_grad()
            x, y = (values.split(ROWS[size])[rank] for values in batch(step))
            x = x.clone().requires_grad_()
            out = head(x, y)
            out.loss.backward()
            bias = head.margin.bias
            names = ("losses_B", "target_cosine_B", "hardest_negative_B", "hardest_class_B")
            shards = [x.grad, head.weight.grad.clone(), *(getattr(out, name).detach() for name in names)]
            found[name, step] = torch.stack([out.loss.detach(), bias.grad, bias.detach()]).clone(), shards
            with torch.no_grad():
                for parameter in head.parameters():
                    parameter -= 0.1 * parameter.grad
    return found


def test_processes_give_the_plain_head_and_share_the_bias():
    plain, parts = trained(None), run_processes(trained, 2)
    for case, (shared, shards) in plain.items():
        for part in parts:
            torch.testing.assert_close(part[case][0], shared, rtol=1e-9, atol=1e-9)
            assert torch.equal(part[case][0], parts[0][case][0])
        for position, expected in enumerate(shards):
            joined = torch.cat([part[case][1][position] for part in parts])
            torch.testing.assert_close(joined, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", MARGINS)
@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_the_gradient_of_the_bias_is_that_of_finite_differences(name, implementation):
    head = create_head(name, C, D, scale=8.0, implementation=implementation).double()
    x, y = batch(3)
    head(x, y).loss.backward()
    bias, losses = head.margin.bias, []
    with torch.no_grad():
        for shift in (1e-5, -2e-5):
            bias += shift
            losses.append(float(head(x, y).loss))
    assert bias.grad.item() == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6)


def test_where_the_bias_starts():
    """Where, with all cosines 0, both sides pull equally; for two classes and for millions, without overflow."""
    for classes in (2, 3, 100, 10**7):
        margin = create_head("sphereface2", 2, D).margin
        margin.prepare(classes)
        bias = margin.bias.item()
        own, other = (40 * (2 * 0.5**3 - 1 + sign * 0.4) + bias for sign in (-1, 1))
        pull, push = 0.7 / (1 + math.exp(own)), 0.3 * (classes - 1) / (1 + math.exp(-other))
        assert pull == pytest.approx(push, rel=1e-4), classes
    assert create_head("uniface", 1000, D, sample_rate=0.2).margin.bias.item() == pytest.approx(math.log(2000))
    assert create_head("sphereface2", 1, D).margin.bias.item() == 0


def test_the_gradient_of_openspheres_code_is_the_scale():
    cosine = torch.tensor([-0.5, 0.3], dtype=torch.float64, requires_grad=True)
    for straight, expected in ((True, [1.0, 1.0]), (False, [3 * (c / 2 + 0.5) ** 2 for c in (-0.5, 0.3)])):
        negatives = BinaryNegatives(torch.zeros(2), 3.0, straight)
        (slope,) = torch.autograd.grad(negatives.adjusted(cosine).sum(), cosine)
        assert slope.tolist() == pytest.approx(expected)
        assert negatives.slope(cosine.detach()).tolist() == pytest.approx(expected)


def test_sampled_classes_add_up_alone():
    head = create_head("uniface", C, D, sample_rate=0.4, row_optimizer=RowSGD(0.9, 0.0)).double()
    x, y = batch(0)
    out = head(x, y)
    index = head.sampled.index_S
    plain = create_head("uniface", len(index), D).double()
    with torch.no_grad():
        plain.weight.copy_(head.weight[index])
        plain.margin.bias.copy_(head.margin.bias)
    mapped = torch.where(y >= 0, torch.searchsorted(index, y), -1)
    torch.testing.assert_close(out.losses_B, plain(x, mapped).losses_B)
    assert [len(tensors) for tensors in (head.trained_tensors(), head.shared_tensors())] == [1, 1]


def test_a_bias_goes_into_files_and_back(tmp_path):
    one, other = (create_head("uniface", C, D) for _ in range(2))
    with torch.no_grad():
        one.margin.bias.fill_(3.5)
    torch.save(one.state_dict(), tmp_path / "head.pt")
    assert load_head(tmp_path / "head.pt", other).statistics == ("margin.bias",)
    assert other.margin.bias.item() == 3.5 and other.margin.bias.requires_grad


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("uniface", {"implementation": "triton"}, "triton has no kernels for binary classification"),
        ("uniface", {"interclass_filtering_threshold": 0.3}, "uniface decides on every class by itself"),
        ("uniface", {"negative_weight": 0.0}, "negative_weight is 0"),
        ("sphereface2", {"balance": 1.0}, "balance is 1.0, expected a number between 0 and 1"),
        ("sphereface2", {"exponent": 0.5}, "exponent is 0.5, expected at least 1"),
        ("sphereface2", {"loss_weight": math.inf}, "loss_weight is inf"),
    ],
)
def test_settings_that_make_no_sense(name, options, message):
    with pytest.raises(ConfigError, match=message):
        create_head(name, C, D, **options)
    x, w, y, scale, offset = inputs()
    with pytest.raises(ConfigError, match="triton has no kernels for binary classification"):
        binary_shard_terms(x, w, y, scale, BinaryNegatives(offset), "triton")
