from dataclasses import fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import yaml

from facemargin.backbones import backbone_parameters, list_backbones
from facemargin.errors import ConfigError
from facemargin.files.yaml import to_yaml
from facemargin.margins import list_margins, margin_class
from facemargin.models.recognizer import create_recognizer
from facemargin.training.recipe import (
    build_head,
    load_recipe,
    model_info,
    recipe_from_mapping,
)
from facemargin.training.recipe_files import list_recipes, recipe_path
from tests.training.training_objects import MAPPING


def recipe(*overrides: str, mapping: dict[str, Any] = MAPPING):
    return recipe_from_mapping(mapping, "the test", overrides)


def test_the_packaged_recipes_are_listed_and_found():
    names = list_recipes()
    assert "demo" in names and names == sorted(names)
    for name in names:
        assert recipe_path(name).name == f"{name}.yaml"
        assert load_recipe(name).description


def test_packaged_recipes_build():
    for name in list_recipes():
        one = load_recipe(name)
        config = build_head(one, 5).margin.config
        for item in fields(config):
            assert getattr(config, item.name) == getattr(one.head, item.name)


def test_a_recipe_is_found_by_path_too(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MAPPING))
    assert load_recipe(str(path)) == recipe()
    assert load_recipe(str(path), ["--epochs", "7"]).epochs == 7


def test_a_recipe_that_does_not_exist_names_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="unknown recipe 'dmo'; did you mean 'demo'"):
        load_recipe("dmo")
    with pytest.raises(ConfigError, match=r"there is no recipe file .*mine\.yaml"):
        load_recipe(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("name", list_margins())
def test_head_name_on_the_command_line_brings_that_margins_fields(name):
    one = recipe("--head.name", name)
    assert one.head.name == name
    near = {}
    for item in fields(margin_class(name).Config):
        # The recipe's settings are cosface's: another margin starts from its own.
        expected = MAPPING["head"].get(item.name, item.default) if name == "cosface" else item.default
        assert getattr(one.head, item.name) == expected
        if isinstance(item.default, float):
            near[item.name] = item.default * (0.999 - 0.001 * len(near))
    options = [word for field, value in near.items() for word in (f"--head.{field.replace('_', '-')}", str(value))]
    changed = recipe(f"--head.name={name}", *options)
    assert {field: getattr(changed.head, field) for field in near} == near


@pytest.mark.parametrize("name", [name for name in list_backbones() if name in ("ir_se_18", "mobilefacenet", "ir_50")])
def test_backbone_name_on_the_command_line_brings_that_networks_fields(name):
    one = recipe("--backbone.name", name, "--backbone.embedding-size", "32")
    assert one.backbone.name == name and one.backbone.embedding_size == 32
    for option, parameter in backbone_parameters(name).items():
        assert getattr(one.backbone, option) == parameter.default
    assert not hasattr(one.backbone, "width")


def test_the_same_name_on_the_command_line_keeps_the_recipes_settings():
    assert recipe("--head.name", "cosface").head.scale == 8.0
    assert recipe("--backbone.name", "small_resnet").backbone.width == 4


def test_shared_fields_survive_another_margin():
    mapping = {**MAPPING, "head": {**MAPPING["head"], "center_initialization": "unit", "implementation": "eager"}}
    one = recipe("--head.name", "arcface", mapping=mapping)
    assert one.head.center_initialization == "unit" and one.head.implementation == "eager"


def leaves(config: Any, prefix: str = ""):
    """(name, type, value) of every field that holds no fields of its own."""
    hints = get_type_hints(type(config))
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", hints[item.name], value


OTHER = {
    "data.drop_suspects": "audits/faces",
    "head.name": "cosface",
    "head.implementation": "eager",
    "head.center_initialization": "unit",
    "head.interclass_filtering_threshold": 0.5,
    "backbone.name": "small_resnet",
    "initial.weights": "model.ckpt",
    "initial.head": "head.safetensors",
    "initial.family": "adaface",
    "data.train": "orl:5-9",
    "device": "cpu",
    "description": "two words",
    "accumulation_steps": 4,
    "optimizer.name": "sgd",  # the other does not go with sampled classes
    "memory.name": "none",  # nor do the others
    "data.synthetic_identities": ("negative", "upside_down"),
    "validation.data": ("orl:31-33", "orl:34-36"),
    "backbone.blocks": (1, 2, 1, 2),
}


def other_value(name: str, hint: Any, value: Any) -> Any:
    """A valid value of a field that differs from `value`, where there is one."""
    if name in OTHER:
        return OTHER[name]
    if get_origin(hint) is Literal:
        return next(choice for choice in get_args(hint) if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 or 1
    if isinstance(value, float):
        return value * 0.5 or 0.25
    assert isinstance(value, tuple), (name, value)
    if value and isinstance(value[0], str):
        return value[::-1]
    return tuple(item * 0.5 for item in value)


def words(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, tuple) else [str(value)]


def test_every_field_can_be_set_on_the_command_line():
    before = {name: value for name, _, value in leaves(recipe())}
    assert len(before) > 50
    overrides, expected = [], {}
    for name, hint, value in leaves(recipe()):
        expected[name] = other_value(name, hint, value)
        overrides += [f"--{name.replace('_', '-')}", *words(expected[name])]
    after = {name: value for name, _, value in leaves(recipe(*overrides))}
    assert after == expected
    unchanged = [name for name in before if before[name] == after[name]]
    assert unchanged == ["head.name", "memory.name", "backbone.name", "optimizer.name"]
    assert recipe("--optimizer.name", "adamw").optimizer.name == "adamw"


def test_none_booleans_and_tuples_on_the_command_line():
    mapping = {**MAPPING, "head": {"name": "funface", "certainty_ratio_bound": 4.0, "center_initialization": "unit"}}
    one = recipe(
        "--head.certainty-ratio-bound", "None", "--head.center-initialization", "None", "--channels-last", "True",
        "--schedule.milestones", "1", "2.5", "--validation.data",
        mapping=mapping,
    )  # fmt: skip
    assert one.head.certainty_ratio_bound is None and one.head.center_initialization is None
    assert one.channels_last is True
    assert one.schedule.milestones == (1.0, 2.5)
    assert one.validation.data == ()
    assert recipe("--head.name", "funface", "--head.certainty-ratio-bound", "3").head.certainty_ratio_bound == 3.0


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"head": {"name": "arcfase"}}, "unknown margin 'arcfase'; did you mean 'arcface'"),
        (
            {"schedule": {"milestones": [1, float("nan")]}},
            "milestones is .*, expected epochs from 0 on, ascending",
        ),
        ({"schedule": {"milestones": [20, 12]}}, "milestones is .*, expected epochs from 0 on, ascending"),
        ({"optimizer": {"learning_rate": float("inf")}}, "learning_rate is inf, expected a finite number"),
        ({"augmentation": {"rotation": float("inf")}}, "rotation is inf, expected 0 or more"),
        ({"augmentation": {"crop_area": [0.5, 2]}}, "crop_area is .*, expected numbers of at most 1"),
        ({"head": {"name": 5}}, "head: name is 5, expected a text"),
        ({"head": {"name": None}}, "head: name is None, expected a text"),
        ({"head": {"name": "arcface", "h": 0.3}}, "head: unknown field 'h'"),
        ({"head": 5}, "head is 5, expected a mapping"),
        ({"head": None}, "head is None, expected a mapping"),
        ({"backbone": {"name": "ir_5"}}, "unknown backbone 'ir_5'; did you mean 'ir_50'"),
        ({"backbone": {"name": ["ir_50"]}}, "backbone: name is .*, expected a text"),
        ({"backbone": {"name": "ir_50", "width": 3}}, "backbone: unknown field 'width'"),
        ({"head": {"name": "funface", "t_alpha": 2.0}}, "t_alpha is 2.0"),
        ({"head": {"sample_rate": 0.1}, "optimizer": {"name": "adamw"}}, "AdamW's steps .* cannot be caught up"),
        ({"epoch": 3}, "unknown field 'epoch'; did you mean 'epochs'"),
    ],
)
def test_what_does_not_fit_is_named(mapping, message):
    with pytest.raises(ConfigError, match=message):
        recipe_from_mapping(mapping, "the test")


def test_unknown_names_on_the_command_line():
    with pytest.raises(ConfigError, match="did you mean 'adaface'"):
        recipe("--head.name", "adafase")
    with pytest.raises(ConfigError, match="did you mean 'ir_101'"):
        recipe("--backbone.name=ir_10l")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--optimizer.learning-rat", "1"], "--optimizer.learning-rate"),
        (["--epochs", "many"], "--epochs"),
        (["--head.h", "0.3"], "--head.h"),  # cosface has none
        (["--precision", "half"], "bf16"),
        (["--head.name"], "--head.name"),
    ],
)
def test_command_line_mistakes_exit_with_the_field(capsys, overrides, message):
    with pytest.raises((SystemExit, ConfigError)) as caught:
        recipe(*overrides)
    assert message in capsys.readouterr().err + str(caught.value)
    assert getattr(caught.value, "code", 2) == 2


def test_values_out_of_range_on_the_command_line():
    with pytest.raises(ConfigError, match="epochs is 0, expected at least 1"):
        recipe("--epochs", "0")


def test_equal_recipes_are_equal_and_print_alike():
    assert recipe() == recipe() and to_yaml(recipe()) == to_yaml(recipe())
    assert recipe("--seed", "1") != recipe()


def test_the_described_networks_are_built():
    one = recipe("--head.name", "funface", "--head.mixing-factor", "0.3", "--head.center-initialization", "normal")
    head = build_head(one, 7)
    assert head.weight.shape == (7, 8)
    assert head.margin.config.mixing_factor == 0.3
    recognizer = create_recognizer(model_info(one))
    assert recognizer.backbone.input_size == 16 and recognizer.backbone.embedding_size == 8
    assert recognizer.quality is None
    assert create_recognizer(model_info(recipe("--quality.name", "crfiqa"))).quality is not None


def test_a_margin_that_does_not_exist_is_named_with_its_file(tmp_path):
    (tmp_path / "mine.yaml").write_text("head: {name: arcfase}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: unknown margin 'arcfase'; did you mean 'arcface'"):
        load_recipe(str(tmp_path / "mine.yaml"))


def test_the_earlier_name_of_a_field_is_read():
    head = {**MAPPING["head"], "centre_initialisation": "unit"}
    assert recipe(mapping={**MAPPING, "head": head}).head.center_initialization == "unit"
    both = {**MAPPING, "head": {**head, "center_initialization": "unit"}}
    with pytest.raises(ConfigError, match="centre_initialisation and center_initialization"):
        recipe(mapping=both)
