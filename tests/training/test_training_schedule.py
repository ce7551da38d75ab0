import math

import pytest

from facemargin.training.config import ScheduleConfig
from facemargin.training.schedule import learning_rate_factor


def factors(config: ScheduleConfig, steps_per_epoch: int, epochs: int) -> list[float]:
    return [learning_rate_factor(config, step, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs)]


def test_step_multiplies_by_gamma_at_each_milestone():
    config = ScheduleConfig(name="step", milestones=(2, 3.5), gamma=0.1)
    expected, factor = [], 1.0
    for epoch in range(5):
        for position in range(4):
            if (epoch, position) in ((2, 0), (3, 2)):
                factor *= 0.1
            expected.append(factor)
    assert factors(config, 4, 5) == pytest.approx(expected)


def test_milestones_count_the_warm_up():
    config = ScheduleConfig(name="step", milestones=(2,), gamma=0.5, warmup_epochs=1)
    assert factors(config, 4, 3) == pytest.approx([0.2, 0.4, 0.6, 0.8, *[1.0] * 4, *[0.5] * 4])


@pytest.mark.parametrize("final", [0.0, 0.05])
@pytest.mark.parametrize("warmup", [0, 1, 2.5])
@pytest.mark.parametrize("name", ["polynomial", "cosine"])
def test_polynomial_and_cosine_fall_after_the_warm_up(name, warmup, final):
    config = ScheduleConfig(name=name, warmup_epochs=warmup, power=3.0, final=final)
    steps_per_epoch, epochs = 6, 5
    rising = int(warmup * steps_per_epoch)
    falling = steps_per_epoch * epochs - rising
    expected = [(step + 1) / (rising + 1) for step in range(rising)]
    for step in range(falling):
        done = step / falling
        shape = (1 - done) ** 3 if name == "polynomial" else 0.5 * (1 + math.cos(math.pi * done))
        expected.append(final + (1 - final) * shape)
    assert factors(config, steps_per_epoch, epochs) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["step", "polynomial", "cosine"])
def test_the_warm_up_joins_the_schedule_at_one(name):
    config = ScheduleConfig(name=name, warmup_epochs=2, milestones=(4,))
    values = factors(config, 10, 6)
    assert values[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert values[20] == 1.0
    assert max(values) == 1.0 and all(value > 0 for value in values)


@pytest.mark.parametrize("name", ["step", "polynomial", "cosine"])
def test_a_warm_up_as_long_as_the_run_ends_at_one(name):
    config = ScheduleConfig(name=name, warmup_epochs=2, milestones=(4,))
    assert factors(config, 3, 2) == pytest.approx([(step + 1) / 7 for step in range(6)])
    assert learning_rate_factor(config, 6, 3, 2) == 1.0  # the step after the last
