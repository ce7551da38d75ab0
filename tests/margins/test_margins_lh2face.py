"""LH2Face against its equations as loops; the corners; and that a network with a batch norm learns by it."""

import math

import mpmath
import numpy as np
import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.heads import create_head
from facemargin.margins import SoftmaxTerms, create_margin
from facemargin.margins.lh2face import proxy_positive_losses, proxy_proxy_loss
from facemargin.margins.vmf import bessel_ratio
from tests.margins.reference import cosines, cross_entropies, norms

B, C, D = 8, 9, 5
IMPLEMENTATIONS = ["eager", "chunked"]


def mean(values) -> float:
    return sum(values) / len(values)


def reference_parts(features, labels, centers, held_norms=None, running_mean=None, dimension=256) -> dict[str, float]:
    """The four terms. `held_norms`: the norms where the loss takes them without gradient (default: the features' own);
    `running_mean`: μ_a (default: the mean of the norms)."""
    rows, kappas = cosines(features, centers), norms(features)
    held_norms = held_norms or kappas
    own = [row[y] for row, y in zip(rows, labels, strict=True)]
    margin_mean = mean(held_norms) if running_mean is None else running_mean
    held_mean = max(margin_mean, 1)

    targets = [kappa * c - 0.35 * margin_mean for kappa, c in zip(kappas, own, strict=True)]
    softmax = mean(cross_entropies(rows, labels, targets, kappas))

    half = mpmath.mpf(dimension) / 2
    log_c = [
        float((half - 1) * mpmath.log(k) - half * mpmath.log(2 * mpmath.pi) - mpmath.log(mpmath.besseli(half - 1, k)))
        for k in kappas
    ]
    pps = mean([-(log_c[i] + kappas[i] * own[i]) / dimension for i in range(len(labels))])

    pns = []
    for row, y, kappa, held in zip(rows, labels, kappas, held_norms, strict=True):
        lse = math.log(sum(math.exp(kappa * c) for j, c in enumerate(row) if j != y))
        pns.append(math.log1p(math.exp((lse - held * 0.65) / held_mean)))

    classes = sorted({int(y) for y in labels})
    between = cosines(centers, centers)
    pp = []
    for p in classes:
        others = [math.exp(held_mean * between[p][q]) for q in classes if q != p]
        pp.append(math.log(mean(others)) / held_mean)
    return {"softmax": softmax, "pps": pps, "pns": mean(pns), "pp": mean(pp)}


def random_steps(seed: int, steps: int):
    rng = np.random.default_rng(seed)
    centers = rng.normal(size=(C, D))
    for _ in range(steps):
        labels = rng.integers(0, C - 2, B)
        features = rng.normal(size=(B, D)) + rng.uniform(-2, 4, (B, 1)) * centers[labels]
        features *= rng.uniform(0.5, 40, (B, 1)) / np.linalg.norm(features, axis=1, keepdims=True)
        yield features, labels, centers


def head_for(centers: np.ndarray, implementation: str = "auto", **settings):
    head = create_head("lh2face", *centers.shape, implementation=implementation, **settings).double()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(centers))
    return head


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dimension", [3, 256])
def test_every_term_equals_the_loops(dimension, implementation):
    head = None
    for features, labels, centers in random_steps(3, 3):
        head = head or head_for(centers, implementation, dimension=dimension)
        out = head(torch.from_numpy(features), torch.from_numpy(labels))
        expected = reference_parts(features, labels, centers, dimension=dimension)
        assert list(out.parts) == list(expected)
        for name, value in expected.items():
            assert out.parts[name].item() == pytest.approx(value, rel=1e-10), name
        assert out.loss.item() == pytest.approx(sum(expected.values()), rel=1e-10)


@pytest.mark.parametrize("t_alpha", [1.0, 0.2])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_gradients_equal_the_loops_finite_differences(implementation, t_alpha):
    features, labels, centers = next(random_steps(5, 1))
    held = norms(features)
    running_mean = None if t_alpha == 1 else t_alpha * mean(held) + (1 - t_alpha) * 20
    head = head_for(centers, implementation, t_alpha=t_alpha)
    x = torch.from_numpy(features).requires_grad_()
    head(x, torch.from_numpy(labels)).loss.backward()
    for values, gradient in ((features, x.grad), (centers, head.weight.grad)):
        numeric = np.zeros_like(values)
        for index in np.ndindex(values.shape):
            original, sides = values[index], []
            for step in (1e-5, -1e-5):
                values[index] = original + step
                sides.append(sum(reference_parts(features, labels, centers, held, running_mean).values()))
            values[index] = original
            numeric[index] = (sides[0] - sides[1]) / 2e-5
        np.testing.assert_allclose(gradient.numpy(), numeric, rtol=1e-6, atol=1e-8)


def test_each_weight_scales_its_term_alone():
    features, labels, centers = next(random_steps(7, 1))
    x, y = torch.from_numpy(features), torch.from_numpy(labels)
    plain = head_for(centers)(x, y).parts
    for name in ("pps", "pns", "pp"):
        weighted = head_for(centers, **{f"lambda_{name}": 2.5})(x, y).parts
        for part, value in plain.items():
            torch.testing.assert_close(weighted[part], value * (2.5 if part == name else 1))


def test_the_margin_is_a_share_of_the_running_mean_norm():
    head = head_for(np.eye(3), t_alpha=0.25, margin=0.5, initial_norm_mean=8.0)
    x = torch.diag(torch.tensor([2.0, 4.0, 12.0], dtype=torch.float64))
    out = head(x, torch.arange(3))
    mean_norm = 0.25 * 6 + 0.75 * 8
    assert head.margin.norm_statistics.mean.item() == pytest.approx(mean_norm)
    expected = [math.log1p(2 * math.exp(0.5 * mean_norm - norm)) for norm in (2, 4, 12)]
    np.testing.assert_allclose(out.losses_B.detach(), expected)
    np.testing.assert_allclose(out.margin_scaler_B, [0.5 * mean_norm / norm for norm in (2, 4, 12)])
    restored = head_for(np.eye(3), t_alpha=0.25, margin=0.5).eval()
    restored.load_state_dict(head.state_dict())
    torch.testing.assert_close(restored(x * 0.1, torch.arange(3)).margin_scaler_B, out.margin_scaler_B * 10)
    assert restored.margin.norm_statistics.mean.item() == pytest.approx(mean_norm)  # eval mode leaves it alone
    batch_alone = head_for(np.eye(3))
    batch_alone(x, torch.arange(3))
    assert batch_alone.margin.norm_statistics.mean.item() == pytest.approx(6)


def test_the_margin_passes_no_gradient_to_the_norms():
    terms = SoftmaxTerms(torch.tensor([0.9, -0.2]), torch.zeros(2), torch.zeros(2))
    norm = torch.tensor([10.0, 30.0], requires_grad=True)
    logits = create_margin("lh2face").target_logit(terms, norm, torch.arange(2))
    (slope,) = torch.autograd.grad(logits.sum(), norm)
    torch.testing.assert_close(slope, terms.target_cosine_B)


def test_the_positive_term_calibrates_the_norm():
    """Its slope in κ vanishes where A_n(κ) is the cosine: below it a longer feature pays, above it a shorter one."""
    calibrated = torch.tensor([10.0, 100.0, 1000.0], dtype=torch.float64)
    cosine = bessel_ratio(calibrated, 256)
    for factor, sign in ((0.9, -1), (1.0, 0), (1.1, 1)):
        kappa = (calibrated * factor).requires_grad_()
        (slope,) = torch.autograd.grad(proxy_positive_losses(cosine, kappa, 256).sum(), kappa)
        assert torch.equal(torch.where(slope.abs() < 1e-15, 0, slope).sign(), torch.full((3,), sign).double())


def test_the_proxy_term_counts_classes_not_samples_and_is_a_cosine():
    centers = torch.nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    once, often = torch.arange(4), torch.tensor([3, 0, 0, 2, 1, 3, 3])
    for mean_norm in (1.0, 20.0, 1e6):
        value = proxy_proxy_loss(centers, once, torch.tensor(mean_norm))
        torch.testing.assert_close(proxy_proxy_loss(centers[often], often, torch.tensor(mean_norm)), value)
        assert -1 <= value <= 1
    hardest = (centers @ centers.T).fill_diagonal_(-1).amax(1).mean()
    torch.testing.assert_close(value, hardest, atol=1e-5, rtol=0)
    assert proxy_proxy_loss(centers[:1].expand(5, 3), torch.zeros(5, dtype=torch.int64), torch.tensor(9.0)) == 0


CORNERS = {
    "norm zero": lambda w, y: w[y] * 0,
    "norm a million": lambda w, y: w[y] * 1e6,
    "a million among ones": lambda w, y: w[y] * torch.tensor([1e6, 1, 1, 1, 1, 1])[: len(y), None],
    "on its centre": lambda w, y: w[y] * 20,
    "opposite its centre": lambda w, y: w[y] * -20,
    "opposite every centre": lambda w, y: -20 * w.abs().sum(0).expand(len(y), -1),
}


@pytest.mark.parametrize("batch", [0, 1, 6])
@pytest.mark.parametrize("classes", [1, 7])
@pytest.mark.parametrize("corner", CORNERS)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_corners_are_finite_in_float32(implementation, corner, classes, batch):
    centers = torch.nn.functional.normalize(torch.randn(classes, D, generator=torch.Generator().manual_seed(2)))
    if corner == "opposite every centre":
        centers = centers.abs()  # in one orthant, so that every cosine is negative
    head = create_head("lh2face", classes, D, implementation=implementation)
    with torch.no_grad():
        head.weight.copy_(centers)
    labels = torch.arange(batch) % classes
    x = CORNERS[corner](centers, labels).clone().requires_grad_()
    out = head(x, labels)
    out.loss.backward()
    assert all(part.isfinite() for part in out.parts.values()), out.parts
    assert x.grad.isfinite().all() and head.weight.grad.isfinite().all()
    assert out.margin_scaler_B.isfinite().all()
    if classes == 1:
        assert out.parts["softmax"] == out.parts["pns"] == out.parts["pp"] == 0


def test_a_network_that_ends_in_a_batch_norm_learns_and_keeps_its_norms():
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(30, 16, generator=generator)
    head = create_head("lh2face", 30, 32, generator=generator)
    weight = (torch.randn(32, 16, generator=generator) / 4).requires_grad_()
    batch_norm = torch.nn.BatchNorm1d(32, affine=False)
    optimizer = torch.optim.Adam([weight, *head.parameters()], lr=0.03)
    losses, mean_norms = [], []
    for _ in range(160):
        labels = torch.randint(0, 30, (64,), generator=generator)
        images = prototypes[labels] + 0.8 * torch.randn(64, 16, generator=generator)
        out = head(batch_norm(images @ weight.T), labels)
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        losses.append(out.loss.item())
        mean_norms.append(out.feature_norm_B.mean().item())
    assert np.mean(losses[-40:]) < np.mean(losses[:10]) - 1
    assert np.mean(mean_norms[-40:]) == pytest.approx(math.sqrt(32), rel=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"t_alpha": 0.0}, "t_alpha is 0.0"),
        ({"dimension": 1}, "dimension is 1, expected 2 or more"),
        ({"scale": 64.0}, "unknown setting of lh2face 'scale'"),
        ({"dimensions": 128}, "did you mean 'dimension'"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        create_margin("lh2face", **settings)
