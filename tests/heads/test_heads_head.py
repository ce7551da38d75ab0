import itertools

import numpy as np
import pytest
import torch

from facemargin.errors import DataError
from facemargin.heads import create_head
from facemargin.margins import list_margins

IMPLEMENTATIONS = ["eager", "chunked", "recomputed"]


def head_and_batch(name, implementation="auto", b=6, c=11, d=8, **settings):
    g = torch.Generator().manual_seed(1)
    head = create_head(name, c, d, implementation=implementation, generator=g, **settings)
    return head, torch.randn(b, d, generator=g) * 20, torch.randint(0, c, (b,), generator=g)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", list_margins())
def test_unlabelled_samples_change_nothing(name, implementation):
    head, x, y = head_and_batch(name, implementation)
    twin, _, _ = head_and_batch(name, implementation)
    mixed_x = torch.cat([x[:3], torch.full((2, 8), 1e3), x[3:]]).requires_grad_()
    mixed_y = torch.cat([y[:3], torch.tensor([-1, -1]), y[3:]])
    x.requires_grad_()
    out, mixed = head(x, y), twin(mixed_x, mixed_y)
    out.loss.backward()
    mixed.loss.backward()
    keep = [0, 1, 2, 5, 6, 7]
    torch.testing.assert_close(mixed.loss, out.loss)
    torch.testing.assert_close(mixed.losses_B[keep], out.losses_B)
    assert torch.equal(mixed.losses_B[3:5], torch.zeros(2))
    assert mixed.target_cosine_B[3:5].isnan().all()
    torch.testing.assert_close(mixed_x.grad[keep], x.grad)
    assert torch.equal(mixed_x.grad[3:5], torch.zeros(2, 8))
    torch.testing.assert_close(twin.weight.grad, head.weight.grad)
    for key, value in head.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[key], value)


CORNERS = {
    "on its centre": lambda x, w, y: w[y] * 3,
    "opposite its centre": lambda x, w, y: -w[y] * 3,
    "on another centre": lambda x, w, y: w[(y + 1) % len(w)],
    "norm zero": lambda x, w, y: x * 0,
    "norm a million": lambda x, w, y: x / x.norm(dim=1, keepdim=True) * 1e6,
    "opposite everything": lambda x, w, y: -w.abs().sum(0).expand_as(x),
}


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", list_margins())
def test_corners_have_finite_losses_and_gradients(name, implementation):
    for case in itertools.product(CORNERS, [torch.float32, torch.bfloat16, torch.float16]):
        corner, dtype = case
        head, x, y = head_and_batch(name, implementation)
        x = CORNERS[corner](x, head.weight.detach(), y)
        x = (x.clamp(-6e4, 6e4) if dtype == torch.float16 else x).to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            out = head(x, y)
        out.loss.backward()
        assert out.loss.dtype == torch.float32 and out.loss.isfinite(), case
        assert x.grad.isfinite().all() and head.weight.grad.isfinite().all(), case


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("name", list_margins())
def test_tiny_batches_and_class_counts(name, implementation):
    for case in itertools.product([True, False], [1, 5], [0, 1]):
        labeled, classes, rows = case
        head, x, y = head_and_batch(name, implementation, b=rows, c=classes)
        x.requires_grad_()
        out = head(x, y if labeled else y * 0 - 1)
        out.loss.backward()
        assert out.loss.isfinite() and x.grad.isfinite().all(), case
        assert head.weight.grad is None or head.weight.grad.isfinite().all(), case
        assert all(value.isfinite().all() for value in head.state_dict().values()), case
        if classes == 1 and not head.margin.binary:  # without a softmax there is something to learn
            assert torch.equal(out.losses_B, torch.zeros(rows)), case


def test_a_zero_centre_and_label_types():
    head, x, y = head_and_batch("arcface")
    with torch.no_grad():
        head.weight[0] = 0
    forms = [y, y.int(), y.to(torch.uint8), y[:, None], y.numpy(), y.tolist(), y.numpy().astype(object)]
    backwards = y.numpy()[::-1].copy()[::-1]
    for labels in (*forms, y.numpy().astype(np.uint16), backwards):
        head.zero_grad()
        head(x, labels).loss.backward()
        assert head.weight.grad.isfinite().all()
        assert head(x, labels).loss == head(x, y).loss


def test_a_head_of_one_class_says_that_it_learns_nothing(caplog):
    create_head("arcface", 1, 8)
    assert "this head has one class, so its loss is always 0" in caplog.text


@pytest.mark.parametrize("name", list_margins())
def test_eager_and_chunked_agree_in_float32(name):
    results = []
    for implementation in IMPLEMENTATIONS:
        head, x, y = head_and_batch(name, implementation, b=32, c=400, d=64)
        x.requires_grad_()
        out = head(x, y)
        out.loss.backward()
        results.append((out.loss.detach(), x.grad, head.weight.grad, out.certainty_ratio_B))
    for one, *others in zip(*results, strict=True):
        for other in others:
            torch.testing.assert_close(one, other, rtol=0, atol=2e-5 * one.abs().max().item())


def test_autocast_does_not_touch_the_head():
    """A bfloat16 product alone would move a logit by about 0.15 at s = 64."""
    head, x, y = head_and_batch("funface", b=64, d=128)
    plain = head(x, y).losses_B
    head.margin.load_state_dict(head_and_batch("funface", b=64, d=128)[0].margin.state_dict())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = head(x, y).losses_B
    assert torch.equal(plain, mixed)


def test_parts_add_up_and_outputs_are_named():
    head, x, y = head_and_batch("magface")
    out = head(x, y)
    assert list(out.parts) == ["softmax", "magnitude"]
    torch.testing.assert_close(out.loss, sum(out.parts.values()))
    torch.testing.assert_close(out.parts["softmax"], out.losses_B.mean())
    torch.testing.assert_close(out.feature_norm_B, x.norm(dim=1))


def test_initial_centres():
    unit = create_head("funface", 50, 512).weight.norm(dim=1)
    normal = create_head("arcface", 50, 512).weight.norm(dim=1)
    torch.testing.assert_close(unit, torch.ones(50))
    assert 0.2 < normal.mean() < 0.25
    overridden = create_head("arcface", 50, 512, center_initialization="unit").weight.norm(dim=1)
    torch.testing.assert_close(overridden, torch.ones(50))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (torch.zeros(3, 7), torch.zeros(3, dtype=torch.int64), r"\(3, 7\), expected \(B, 8\)"),
        (torch.zeros(3, 8), torch.zeros(2, dtype=torch.int64), r"expected \(3,\)"),
        (torch.zeros(3, 8), torch.tensor([0, 1, 11]), "expected 0 to 10, or -1"),
        (torch.zeros(3, 8), torch.tensor([0, 1, -2]), "run from -2"),
        (torch.zeros(3, 8), torch.zeros(3), "expected integers"),
    ],
)
def test_batches_that_do_not_fit_are_named(x, y, message):
    with pytest.raises(DataError, match=message):
        head_and_batch("funface")[0](x, y)
