import pytest
import torch

from facemargin.training.gradients import LossScale

# True: the gradient was finite
STEPS = [*[True] * 3, False, True, True, False, *[True] * 7, False]


def test_the_scale_follows_a_loop():
    scale = LossScale(enabled=True, scale=16.0, growth_interval=3)
    expected, since = 16.0, 0
    seen = []
    for finite in STEPS:
        scale.update(finite)
        since = since + 1 if finite else 0
        if not finite:
            expected /= 2
        elif since % 3 == 0:
            expected *= 2
        seen.append(scale.scale)
        assert scale.scale == expected
    assert seen == [16, 16, 32, 16, 16, 16, 8, 8, 8, 16, 16, 16, 32, 32, 16]


def test_gradients_are_divided_by_the_scale_and_a_state_goes_on():
    scale = LossScale(enabled=True, scale=8.0, growth_interval=2)
    gradients = [torch.tensor([8.0, -4.0]), torch.tensor(2.0)]
    scale.unscale_(gradients)
    assert gradients[0].tolist() == [1.0, -0.5] and gradients[1].item() == 0.25
    scale.update(True)
    other = LossScale(enabled=True, growth_interval=2)
    other.load_state_dict(scale.state_dict())
    other.update(True)
    assert other.scale == 16.0
    with pytest.raises(ValueError, match="scaled"):
        LossScale(enabled=False).load_state_dict(scale.state_dict())


def test_without_scaling_nothing_changes():
    scale = LossScale(enabled=False)
    gradients = [torch.tensor([8.0])]
    scale.unscale_(gradients)
    scale.update(False)
    assert scale.scale == 1.0 and gradients[0].item() == 8.0
