import pytest

from facemargin.errors import ConfigError
from tests.training.training_objects import tiny_recipe


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0, expected at least 1"),
        ({"batch_size": 1}, "batch_size is 1, expected at least 2"),
        ({"accumulation_steps": 0}, "accumulation_steps is 0"),
        ({"accumulation_steps": 3}, "batch_size 8 is not a multiple of accumulation_steps 3"),
        ({"accumulation_steps": 8}, "leaves one image a pass"),
        ({"checkpoint": {"keep": 0}}, "checkpoint.keep is 0"),
        ({"checkpoint": {"every_steps": -1}}, "checkpoint.every_steps is -1"),
        ({"logging": {"every_steps": 0}}, "logging.every_steps is 0"),
        ({"data": {"workers": -1}}, "data.workers is -1"),
        ({"data": {"limit": -1}}, "data.limit is -1, expected at least 0"),
        ({"optimizer": {"learning_rate": -0.1}}, "optimizer.learning_rate is -0.1"),
        ({"optimizer": {"learning_rate": "nan"}}, "optimizer.learning_rate is nan"),
        ({"optimizer": {"momentum": -0.1}}, "optimizer.momentum is -0.1"),
        ({"optimizer": {"weight_decay": -1}}, "optimizer.weight_decay is -1"),
        ({"schedule": {"warmup_epochs": -1}}, "schedule.warmup_epochs is -1"),
        ({"gradient_clip": -1}, "gradient_clip is -1"),
        ({"quality": {"weight": -1}}, "quality.weight is -1"),
        ({"quality": {"beta": "nan"}}, "quality.beta is nan"),
        ({"validation": {"every_epochs": -1}}, "validation.every_epochs is -1"),
        ({"threads": -1}, "threads is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is 9223372036854775808, expected less than"),
        ({"ema_decay": 1.0}, r"ema_decay is 1.0, expected a number in \[0, 1\)"),
        (
            {"data": {"synthetic_identities": ["mirrored"]}, "augmentation": {"flip": 0.5}},
            "a flipped image would carry its twin's label",
        ),
    ],
)
def test_values_out_of_range_are_named(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny_recipe(**changes)


def test_the_norm_is_the_quality_unless_a_recipe_says_otherwise():
    assert tiny_recipe().quality.name == "norm"
    with pytest.raises(ConfigError, match="quality: name is 'crfika'"):
        tiny_recipe(quality={"name": "crfika"})


def test_flips_go_with_other_synthetic_people():
    recipe = tiny_recipe(data={"synthetic_identities": ["negative"]}, augmentation={"flip": 0.5})
    assert recipe.augmentation.flip == 0.5
