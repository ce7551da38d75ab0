"""The poles, where an angle's sine is zero and the arc cosine's slope has no bound. Shapes: B samples."""

import math

import pytest
import torch

from facemargin.margins.angles import add_angle, add_angle_continued, add_angle_easy, clipped_angle

POLES = [1.0, -1.0, 1 - 1e-9, -1 + 1e-9]


@pytest.mark.parametrize("add", [add_angle, add_angle_easy, add_angle_continued])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adding_an_angle_has_a_bounded_slope_at_the_poles(add, dtype):
    cosine_B = torch.tensor(POLES, dtype=dtype, requires_grad=True)
    angle_B = torch.full((len(POLES),), 0.5, dtype=dtype, requires_grad=True)
    added_B = add(cosine_B, angle_B)
    added_B.sum().backward()
    assert cosine_B.grad.isfinite().all() and angle_B.grad.isfinite().all()
    # c·cos(0.5) + sin(0.5)·c/sin θ, sin θ no smaller than a thousandth
    assert cosine_B.grad.abs().max() <= 1 + 1e3 * math.sin(0.5)
    for c, added in zip(POLES, added_B.tolist(), strict=True):
        moved = math.cos(math.acos(c) + 0.5)
        expected = {add_angle: moved, add_angle_easy: moved if c > 0 else c}.get(
            add, moved if c > math.cos(math.pi - 0.5) else c - 0.5 * math.sin(0.5)
        )
        assert added == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_clipped_angle_stays_off_the_poles_and_passes_no_gradient_there(dtype):
    cosine_B = torch.tensor([*POLES, 0.5], dtype=dtype, requires_grad=True)
    angle_B = clipped_angle(cosine_B, 1e-3)
    angle_B.sum().backward()
    edge = math.acos(1 - 1e-3)
    expected = [edge, math.pi - edge, edge, math.pi - edge, math.pi / 3]
    assert angle_B.tolist() == pytest.approx(expected, rel=1e-4)
    assert cosine_B.grad[:4].tolist() == [0.0] * 4
    assert cosine_B.grad[4].item() == pytest.approx(-1 / math.sin(math.pi / 3), rel=1e-5)
