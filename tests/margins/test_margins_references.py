import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from facemargin.heads import create_head
from facemargin.margins import SoftmaxTerms, create_margin
from tests.margins.reference import LOSSES, cosines, reference_step

B, C, D = 12, 23, 8


def random_steps(seed: int, steps: int = 3):
    """Features whose norms spread from tiny to large and whose cosines cover both signs and near-target samples."""
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(C, D))
    for _ in range(steps):
        labels = rng.integers(0, C, B)
        features = rng.normal(size=(B, D))
        features += rng.uniform(-2, 4, (B, 1)) * centers[labels]
        features *= rng.uniform(0.1, 40, (B, 1)) / np.linalg.norm(features, axis=1, keepdims=True)
        yield features, labels, centers


def extreme_step():
    """Angles to the own centre from 0.02 to π − 0.02, with tiny, usual and huge norms by turns."""
    rng = np.random.default_rng(1)
    centers = rng.normal(size=(C, D))
    angles = np.linspace(0.02, math.pi - 0.02, 30)
    labels = rng.integers(0, C, len(angles))
    along = centers[labels] / np.linalg.norm(centers[labels], axis=1, keepdims=True)
    across = rng.normal(size=along.shape)
    across -= (across * along).sum(axis=1, keepdims=True) * along
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    features = np.cos(angles)[:, None] * along + np.sin(angles)[:, None] * across
    return features * np.tile([1e-4, 20.0, 1e3], 10)[:, None], labels, centers


def head_for(name: str, centers: np.ndarray, implementation: str):
    loss = LOSSES[name]
    head = create_head(loss.margin, C, D, implementation=implementation, **loss.settings).double()
    head.margin.prepare(C)  # a bias in double precision
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(centers))
    return head


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_the_loop_reference(name: str, implementation: str):
    state: dict[str, float] = {}
    head = None
    for features, labels, centers in random_steps(3):
        head = head or head_for(name, centers, implementation)
        out = head(torch.from_numpy(features), torch.from_numpy(labels))
        loss, losses, q = reference_step(name, features, labels, centers, state)
        np.testing.assert_allclose(out.loss.item(), loss, rtol=1e-10)
        np.testing.assert_allclose(out.losses_B.detach().numpy(), losses, rtol=1e-9, atol=1e-12)
        if q[0] is not None and LOSSES[name].returns_q:
            np.testing.assert_allclose(out.margin_scaler_B.numpy(), q, rtol=1e-10, atol=1e-12)
    if name in ("adaface", "funface"):
        assert head.margin.norm_statistics.mean.item() == pytest.approx(state["mean"], rel=1e-12)
        assert head.margin.norm_statistics.std.item() == pytest.approx(state["std"], rel=1e-12)
    if name == "funface":
        assert head.margin.ratio_statistics.mean.item() == pytest.approx(state["ratio_mean"], rel=1e-12)
        assert head.margin.ratio_statistics.std.item() == pytest.approx(state["ratio_std"], rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_the_loop_reference_where_things_are_clipped(name: str, monkeypatch):
    loss = LOSSES[name]
    if loss.margin in ("adaface", "funface"):  # by their usual statistics q is near 0
        spread = {"settings": loss.settings | {"t_alpha": 1.0, "h": 1.0}, "q": partial(loss.q, alpha=1.0, h=1.0)}
        monkeypatch.setitem(LOSSES, name, replace(loss, **spread))
    features, labels, centers = extreme_step()
    head = head_for(name, centers, "eager")
    out = head(torch.from_numpy(features), torch.from_numpy(labels))
    expected, losses, q = reference_step(name, features, labels, centers, {})
    np.testing.assert_allclose(out.loss.item(), expected, rtol=1e-9)
    np.testing.assert_allclose(out.losses_B.detach().numpy(), losses, rtol=1e-7, atol=1e-10)
    if q[0] is not None and loss.returns_q:
        np.testing.assert_allclose(out.margin_scaler_B.numpy(), q, rtol=1e-10, atol=1e-12)
    if loss.margin == "adaface":
        assert max(q) == 1


def test_the_random_steps_reach_every_branch():
    """Else the comparison above would say nothing about hard negatives, easy margins or the far end of a margin."""
    own, replaced = [], dict.fromkeys(LOSSES, 0)
    for features, labels, centers in random_steps(3):
        rows = cosines(features, centers)
        own += [row[y] for row, y in zip(rows, labels, strict=True)]
        for name, loss in LOSSES.items():
            for row, y in zip(rows, labels, strict=True):
                replaced[name] += sum(loss.negative(c, row[y], {"t": 0.1}) != c for j, c in enumerate(row) if j != y)
    assert min(own) < math.cos(math.pi - 0.5) < 0 < math.cos(math.pi / 4) < max(own)
    hard = [n for n in LOSSES if n.startswith(("curricular", "mv_")) or n.endswith("filtered")]
    assert all(0 < replaced[name] < 3 * B * (C - 1) for name in hard)


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("name", [n for n in LOSSES if n != "arcface-insightface"])
def test_gradients_equal_finite_differences(name: str, implementation: str):
    features, labels, centers = next(random_steps(5, 1))
    # A norm at a clamp's edge or a target cosine at the easy margin's zero has two one-sided slopes: stay away.
    head = head_for(name, centers, implementation)
    x = torch.from_numpy(features).requires_grad_()
    y = torch.from_numpy(labels)
    q = head(x, y).margin_scaler_B
    head.eval()

    def loss_of(x_BD, w_CD):
        return torch.func.functional_call(head, {"weight": w_CD}, (x_BD, y)).loss

    # Margins that adapt hold q constant by definition, which finite differences do not: freeze q for the check.
    if not name.startswith("magface"):
        head.margin.margin_scaler = lambda terms, norm_B: q
    w = head.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(loss_of, (x, w), eps=1e-6, atol=1e-6, rtol=1e-5)


def test_insightface_gradient_is_the_scale():
    """d(target logit)/d(target cosine) = s in InsightFace's ArcFace; the true gradient differs."""
    cosine = torch.tensor([0.3, -0.6], dtype=torch.float64, requires_grad=True)
    terms = SoftmaxTerms(cosine, torch.zeros(2), torch.zeros(2))
    for gradient, expected in (("insightface", [64.0, 64.0]), ("true", None)):
        margin = create_margin("arcface", gradient=gradient)
        (slope,) = torch.autograd.grad(margin.target_logit(terms, torch.ones(2), None).sum(), cosine)
        theta = torch.acos(cosine.detach())
        true_slope = 64 * torch.sin(theta + 0.5) / torch.sin(theta)
        torch.testing.assert_close(slope, torch.tensor(expected) if expected else true_slope, check_dtype=False)


@pytest.mark.parametrize("gradient", ["true", "insightface"])
@pytest.mark.parametrize("name", ["arcface", "combined"])
def test_without_the_clip_the_logit_rises_again_beyond_pi(name, gradient):
    cosine = torch.tensor([-0.95, -0.99], dtype=torch.float64, requires_grad=True)
    terms = SoftmaxTerms(cosine, torch.zeros(2), torch.zeros(2))
    for clip_angle in (True, False):
        logits = create_margin(name, gradient=gradient, clip_angle=clip_angle).target_logit(terms, torch.ones(2), None)
        (slope,) = torch.autograd.grad(logits.sum(), cosine)
        expected = [64 * math.cos(math.acos(c) + 0.5) for c in cosine.tolist()]
        lowest = 64 * math.cos(math.pi - 1e-4)
        assert logits.tolist() == pytest.approx([lowest, lowest] if clip_angle else expected)
        assert expected[1] > expected[0]
        if gradient == "true":
            assert (slope == 0).all() if clip_angle else (slope < 0).all()


def test_arcface_and_cosface_are_cases_of_the_combined_margin():
    features, labels, centers = next(random_steps(7, 1))
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    for special, settings in (("arcface", {"m1": 1.0, "m2": 0.5, "m3": 0.0}), ("cosface", {"m2": 0.0, "m3": 0.35})):
        one = head_for(special, centers, "eager")(x, y).loss
        combined = create_head("combined", C, D, **settings).double()
        with torch.no_grad():
            combined.weight.copy_(torch.from_numpy(centers))
        # The combined margin clips the cosine at 1e-4 from ±1, CosFace does not: equal away from the poles.
        torch.testing.assert_close(combined(x, y).loss, one, rtol=1e-3, atol=1e-6)


def test_funface_without_mixing_is_adaface_with_its_epsilon():
    features, labels, centers = next(random_steps(9, 1))
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    losses = []
    for name, settings in (("funface", {"mixing_factor": 0.0, "epsilon": 1e-3}), ("adaface", {})):
        head = create_head(name, C, D, **settings).double()
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(centers))
        losses.append(head(x, y).losses_B)
    assert torch.equal(*losses)


def test_certainty_ratio_bound_keeps_the_statistics_usable():
    """Two centres opposite each other: no negative is positive, so the paper's CR is about 1e5."""
    centers = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    x = torch.tensor([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.3]])
    y = torch.tensor([0, 0, 1])
    std = {}
    for bound in (None, 10.0):
        head = create_head("funface", 2, 2, certainty_ratio_bound=bound)
        with torch.no_grad():
            head.weight.copy_(centers)
        head(x, y)
        std[bound] = head.margin.ratio_statistics.std.item()
    assert std[None] > 15  # 9.9 + .01·std of values near 1e5
    assert std[10.0] == pytest.approx(0.99 * 10)


def test_statistics_stand_still_in_eval_mode_and_for_useless_batches():
    head = create_head("funface", 5, 4)
    x, y = torch.randn(6, 4) * 30, torch.randint(0, 5, (6,))

    def state():
        return {key: value.clone() for key, value in head.state_dict().items() if "statistics" in key}

    before = state()
    assert len(before) == 4
    head.eval()(x, y)
    assert all(torch.equal(before[k], v) for k, v in state().items())
    head.train()(x[:1], y[:1])  # a batch of one moves the means and leaves the standard deviations
    after = state()
    assert after["margin.norm_statistics.std"] == before["margin.norm_statistics.std"]
    assert after["margin.norm_statistics.mean"] != before["margin.norm_statistics.mean"]
    head(x * float("nan"), y)
    head(x[:0], y[:0])
    assert all(torch.equal(after[k], v) for k, v in state().items())
    head(x, y)
    assert all(not torch.equal(after[k], v) for k, v in state().items())


def test_statistics_survive_a_state_dict():
    head = create_head("funface", 5, 4)
    for _ in range(3):
        head(torch.randn(6, 4) * 30, torch.randint(0, 5, (6,)))
    other = create_head("funface", 5, 4)
    other.load_state_dict(head.state_dict())
    x, y = torch.randn(6, 4), torch.randint(0, 5, (6,))
    assert torch.equal(head(x, y).losses_B, other(x, y).losses_B)
