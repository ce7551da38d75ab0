"""From a recipe's name or file, and the command line's overrides, to one typed `Recipe`."""

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import tyro

from facemargin.backbones import backbone_parameters, list_backbones
from facemargin.backbones.registry import OPTION_HELP
from facemargin.errors import ConfigError
from facemargin.files.yaml import from_mapping, read_yaml, to_yaml
from facemargin.heads import Head, RowSGD, create_head
from facemargin.heads.collectives import Group
from facemargin.interop.blank import blank_networks
from facemargin.margins import margin_class
from facemargin.models.info import ModelInfo
from facemargin.models.recognizer import create_recognizer
from facemargin.reconstruction import ReconstructionConfig
from facemargin.registry import unknown_name
from facemargin.training.config import BackboneConfig, HeadConfig, Recipe
from facemargin.training.explained import as_class, explained, field_help
from facemargin.training.options import check_options, options_of
from facemargin.training.recipe_files import recipe_path

_SOME_CLASSES = 100


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = (), **fields: Any) -> Recipe:
    """The recipe of a YAML file, or of a name (`facemargin list recipes`), with other values for some `fields`; those
    of a part of the recipe are a mapping. `overrides` are the command line's ("--epochs 3").

    Raises ConfigError for anything that does not fit, naming the file and the field.

    Examples:
        >>> import facemargin as fm
        >>> recipe = fm.load_recipe("small_cpu", epochs=3, optimizer={"learning_rate": 0.05}, head={"name": "adaface"})
        >>> recipe.epochs, recipe.optimizer.learning_rate, recipe.head.name, recipe.head.h
        (3, 0.05, 'adaface', 0.333)
    """
    mapping = read_yaml(recipe_path(str(name_or_path)))
    name_or_path = str(name_or_path)
    for name, value in fields.items():
        mapping[name] = _merged(name, mapping.get(name), value) if isinstance(value, Mapping) else value
    return recipe_from_mapping(mapping, name_or_path, overrides)


def recipe_from_mapping(mapping: Mapping[str, Any], where: str, overrides: Sequence[str] = ()) -> Recipe:
    """As `load_recipe`, from an already parsed YAML mapping."""
    mapping = _with_todays_names(mapping, where)
    for part, default in (("head", HeadConfig().name), ("backbone", BackboneConfig().name)):
        section = mapping.get(part, {})
        if not isinstance(section, Mapping):
            raise ConfigError(f"{where}: {part} is {section!r}, expected a mapping of fields")
        chosen = _override(overrides, f"--{part}.name")
        if chosen is not None and chosen != section.get("name", default):
            # Another margin or network has other fields: the recipe's settings for the old one do not apply.
            shared = {item.name for item in fields(HeadConfig if part == "head" else BackboneConfig)}
            section = {key: value for key, value in section.items() if key in shared}
        name = chosen or section.get("name", default)
        if not isinstance(name, str):
            raise ConfigError(f"{where}: {part}: name is {name!r}, expected a text")
        mapping[part] = {**section, "name": name}
    try:
        recipe_class = _recipe_class(mapping["head"]["name"], mapping["backbone"]["name"])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    recipe = from_mapping(recipe_class, mapping, where)
    if overrides:
        check_options(overrides, options_of(recipe_class, flags=False), "--fields lists a recipe's fields")
        shown = explained(recipe_class, flags=False)
        changed = tyro.cli(
            shown,
            args=list(overrides),
            default=as_class(recipe, shown),
            prog="facemargin train RECIPE",
            description="Every field of the recipe; defaults are the recipe's values.",
            config=(tyro.conf.FlagConversionOff,),
        )
        return as_class(changed, recipe_class)
    return recipe


def _merged(part: str, section: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The section of a recipe with other `values`. Another margin or network has other fields: the recipe's for the old
    one do not apply."""
    known = dict(section) if isinstance(section, Mapping) else {}
    common = {"head": HeadConfig, "backbone": BackboneConfig}.get(part)
    if common is not None and values.get("name", known.get("name", common().name)) != known.get("name", common().name):
        shared = {item.name for item in fields(common)}
        known = {key: value for key, value in known.items() if key in shared}
    return {**known, **values}


def _with_todays_names(mapping: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The mapping with fields that were once called otherwise under their present names."""
    renamed = dict(mapping)
    optimizer, head = mapping.get("optimizer"), mapping.get("head")
    if isinstance(optimizer, Mapping) and isinstance(optimizer.get("decay_all"), bool):
        no_decay = "nothing" if optimizer["decay_all"] else "one_dimensional"
        renamed["optimizer"] = _renamed("optimizer", optimizer, "decay_all", "no_decay", no_decay, where)
    if isinstance(head, Mapping) and "centre_initialisation" in head:
        start = head["centre_initialisation"]
        renamed["head"] = _renamed("head", head, "centre_initialisation", "center_initialization", start, where)
    return renamed


def _renamed(section: str, fields: Mapping[str, Any], before: str, now: str, value: Any, where: str) -> dict[str, Any]:
    if now in fields:
        raise ConfigError(f"{where}: {section} has {before} and {now}, the former's present name: leave it out")
    return {name: content for name, content in fields.items() if name != before} | {now: value}


def build_head(recipe: Recipe, num_classes: int, process_group: Group = None) -> Head:
    """The head that a recipe describes, with its classes over the processes of the group."""
    settings = {item.name: getattr(recipe.head, item.name) for item in fields(recipe.head)}
    optimizer = recipe.optimizer
    return create_head(
        settings.pop("name"),
        num_classes,
        recipe.backbone.embedding_size,
        row_optimizer=RowSGD(optimizer.momentum, optimizer.weight_decay, settings.pop("unsampled_rows")),
        process_group=process_group,
        seed=recipe.seed,
        hardest_class=bool(recipe.recorder),
        memory=recipe.memory.create(),
        **settings,
    )


def margin_settings(head: HeadConfig) -> dict[str, Any]:
    """The settings of the margin among those of a recipe's head."""
    return {item.name: getattr(head, item.name) for item in fields(margin_class(head.name).Config)}


def check_networks(recipe: Recipe) -> None:
    """Raise ConfigError if the networks or the head of the recipe cannot be built. The networks take no memory, and
    nothing is read, so that a wrong field is said before data are opened."""
    with blank_networks():
        create_recognizer(model_info(recipe))
    if recipe.reconstruction.mode != "alone":
        build_head(recipe, num_classes=_SOME_CLASSES)


def model_info(recipe: Recipe) -> ModelInfo:
    """The networks that a recipe describes: what `create_recognizer` makes, and what their file says of itself."""
    name, mode = recipe.backbone.name, recipe.reconstruction.mode
    options = {option: getattr(recipe.backbone, option) for option in backbone_parameters(name)}
    settings = {item.name: getattr(recipe.reconstruction, item.name) for item in fields(ReconstructionConfig)}
    alone = mode == "alone"
    return ModelInfo(
        backbone=None if alone else name,
        options={} if alone else options,
        embedding_size=0 if alone else recipe.backbone.embedding_size,
        input_size=options["input_size"],
        loss="reconstruction" if alone else recipe.head.name,
        quality=recipe.quality.name,
        reconstruction=None if mode == "none" else settings,
        views=recipe.validation.views,
        recipe=to_yaml(recipe),
    )


@cache  # one class a pair of names, so that equal recipes compare equal
def _recipe_class(head_name: str, backbone_name: str) -> type[Recipe]:
    """`Recipe` whose head and backbone are the dataclasses of that margin and that network."""
    head, backbone = head_config_class(head_name), backbone_config_class(backbone_name)
    return _with_fields(
        Recipe,
        [
            ("head", head, field(default_factory=head)),
            ("backbone", backbone, field(default_factory=backbone)),
        ],
    )


@cache
def head_config_class(name: str) -> type[HeadConfig]:
    """HeadConfig with the fields of the margin's own dataclass, and its checks of them, beside its own."""
    margin_config = margin_class(name).Config
    hints = get_type_hints(margin_config)
    extra = [(item.name, hints[item.name], field(default=item.default)) for item in fields(margin_config)]

    def check(self: HeadConfig) -> None:
        margin_config(**{item.name: getattr(self, item.name) for item in fields(margin_config)})

    named = ("name", str, field(default=name))
    return _with_fields(HeadConfig, [named, *extra], __post_init__=check, FIELD_HELP=field_help(margin_config))


@cache
def backbone_config_class(name: str) -> type[BackboneConfig]:
    """BackboneConfig with the options of the network beside its own."""
    if name not in list_backbones():
        raise ConfigError(unknown_name("backbone", name, list_backbones()))
    extra = [
        (option, parameter.annotation, field(default=parameter.default))
        for option, parameter in backbone_parameters(name).items()
    ]
    words = {option: OPTION_HELP.get(option, "") for option, *_ in extra}
    return _with_fields(BackboneConfig, [("name", str, field(default=name)), *extra], FIELD_HELP=words)


def _with_fields(base: type[Any], extra: list[tuple[str, Any, Any]], **members: Any) -> type[Any]:
    cls = make_dataclass(base.__name__, extra, bases=(base,), namespace=members, frozen=True, kw_only=True)
    cls.__doc__ = base.__doc__
    return cls


def _override(arguments: Sequence[str], option: str) -> str | None:
    """The value that the command line gives `option`, as two words or one with "="."""
    value = None
    for position, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            value = argument.split("=", 1)[1]
        elif argument == option and position + 1 < len(arguments):
            value = arguments[position + 1]
    return value
