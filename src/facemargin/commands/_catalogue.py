"""A file with all margins, backbones, recipes and protocols, and the options of every command. With it, `facemargin
list` and the completion of a shell do not have to import torch or build networks.

`python -m facemargin.commands._catalogue` writes the file again; a test fails if it is out of date.
"""

import json
import sys
from collections.abc import Container, Iterable, Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module, resources
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

from facemargin.commands._verbs import VERBS, arguments_class, list_verbs
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_text_atomically
from facemargin.plugins import KINDS, has_plugins
from facemargin.registry import Registry
from facemargin.training.options import Option, options_of

FILE = resources.files("facemargin.commands") / "catalogue.json"

Options = dict[str, list[str] | None]
"""{option: its possible values}. [] for an option without a value, None if the values cannot be listed."""

StoredOptions = dict[str, list[str] | str | None]
"""As they are in the file: a text is the kind of which the option takes a name, such as "protocols"."""


class DescribedKind(NamedTuple):
    """`registry`: module and name of the registry whose entries have a name and a description. `entry` and `title` are
    the headings of the names and of the whole table in lists."""

    registry: str
    entry: str
    title: str


DESCRIBED_KINDS = {
    "protocols": DescribedKind(
        "facemargin.evaluation.protocols.protocol:PROTOCOLS", "protocol", "evaluation protocols"
    ),
    "metrics": DescribedKind("facemargin.evaluation.figures:METRICS", "metric", "metrics of a system on pairs"),
    "formats": DescribedKind("facemargin.data.formats.data_format:FORMATS", "format", "formats of training sets"),
    "writers": DescribedKind("facemargin.data.writers.base:WRITERS", "format", "what convert writes"),
    "pair_formats": DescribedKind(
        "facemargin.data.pairs.pair_format:PAIR_FORMATS", "format", "formats of verification sets"
    ),
    "families": DescribedKind("facemargin.interop.family:FAMILIES", "family", "families of checkpoints"),
    "models": DescribedKind("facemargin.interop.released:RELEASED", "model", "released models"),
    "detectors": DescribedKind("facemargin.detection.detector:DETECTORS", "detector", "face detectors"),
    "measures": DescribedKind("facemargin.features.measures:MEASURES", "measure", "measures of quality"),
}
"""In the order of `facemargin list`."""


class MarginEntry(TypedDict):
    """`settings`: the settings of this margin, such as "scale=64.0"."""

    paper: str
    settings: list[str]


class BackboneEntry(TypedDict):
    """The side of the input in pixels, the number of parameters, and the multiply-adds per image, with 512 features."""

    input_size: int
    parameters: int
    multiply_adds: int


class Catalogue(TypedDict):
    """`common_settings`: those that every margin has. `detectors` … `protocols`: the words for each.
    `verbs`: the options of each. `recipe`: of every recipe, and those that its margin and its network add to it."""

    margins: dict[str, MarginEntry]
    common_settings: list[str]
    backbones: dict[str, BackboneEntry]
    detectors: dict[str, str]
    families: dict[str, str]
    formats: dict[str, str]
    pair_formats: dict[str, str]
    writers: dict[str, str]
    measures: dict[str, str]
    metrics: dict[str, str]
    models: dict[str, str]
    protocols: dict[str, str]
    verbs: dict[str, Options]
    recipe: Options
    margin_options: dict[str, Options]
    backbone_options: dict[str, Options]


@cache
def read_catalogue() -> Catalogue:
    """The file's, and what plugins add to it."""
    content = stored_catalogue()
    for kind in filter(has_plugins, KINDS):
        for part, entries in _added(kind, content).items():
            content[part] = dict(sorted((entries | content[part]).items()))
    for part in ("verbs", "margin_options", "backbone_options"):
        content[part] = {name: _with_names(table, content) for name, table in content[part].items()}
    content["recipe"] = _with_names(content["recipe"], content)
    return cast(Catalogue, content)


def stored_catalogue() -> dict[str, Any]:
    """What the file says."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def make_catalogue() -> dict[str, Any]:
    """Create the catalogue from the code, which imports everything and builds every network. Raises ConfigError where
    plugins are installed, which are not to get into it."""
    from facemargin.training.config import Recipe

    if added := [kind for kind in KINDS if has_plugins(kind)]:
        raise ConfigError(f"an installed package adds {', '.join(added)}: uninstall it to write the catalogue")
    recipe = _table(options_of(Recipe, flags=False))
    parts = {**_margins(set(recipe)), **_common_settings(), **_backbones(set(recipe))}
    recipe |= {"--head.name": "margins", "--backbone.name": "backbones"}
    return {
        **parts,
        **{kind: _described(kind) for kind in sorted(DESCRIBED_KINDS)},
        "verbs": {verb: _options_of_verb(verb) for verb in sorted(VERBS)},
        "recipe": recipe,
    }


def _described(kind: str) -> dict[str, str]:
    module, _, name = DESCRIBED_KINDS[kind].registry.partition(":")
    registry: Registry[Any] = getattr(import_module(module), name)
    return {name: registry.description(name) for name in registry.names()}


def _added(kind: str, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What plugins add to parts of the catalogue, by part."""
    listed, known = content[kind], set(content["recipe"])
    if kind == "verbs":
        return {kind: {verb: _options_of_verb(verb) for verb in list_verbs() if verb not in listed}}
    if kind == "margins":
        return _margins(known, listed)
    return _backbones(known, listed) if kind == "backbones" else {kind: _described(kind)}


def _options_of_verb(verb: str) -> StoredOptions:
    return _table(options_of(arguments_class(verb), flags=True))


def _with_names(table: StoredOptions, content: Mapping[str, Any]) -> Options:
    """The table with the names of each kind for the kind."""
    return {option: sorted(content[known]) if isinstance(known, str) else known for option, known in table.items()}


def _margins(known: set[str], listed: Container[str] = ()) -> dict[str, dict[str, Any]]:
    """Of the margins that are not `listed`; options that are not `known`, which all recipes have."""
    from facemargin.margins import MarginConfig, list_margins, margin_class
    from facemargin.training.recipe import head_config_class

    common = {item.name for item in fields(MarginConfig)}
    margins: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name in (name for name in list_margins() if name not in listed):
        cls = margin_class(name)
        # The first line of the file has the name of the paper.
        paper = (sys.modules[cls.__module__].__doc__ or name).splitlines()[0].split(": ")[0].removesuffix(".")
        args = [item for item in fields(cls.Config) if item.name not in common]
        margins[name] = {"paper": paper, "settings": [f"{item.name}={item.default!r}" for item in args]}
        options[name] = _table(options_of(head_config_class(name), flags=False, prefix="--head."), known)
    return {"margins": margins, "margin_options": options}


def _common_settings() -> dict[str, list[str]]:
    from facemargin.margins import MarginConfig

    return {"common_settings": [f"{item.name}={item.default!r}" for item in fields(MarginConfig)]}


def _backbones(known: set[str], listed: Container[str] = ()) -> dict[str, dict[str, Any]]:
    from facemargin.backbones import describe_backbone, list_backbones
    from facemargin.training.recipe import backbone_config_class

    backbones: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for name in (name for name in list_backbones() if name not in listed):
        info = describe_backbone(name)
        backbones[name] = {
            "input_size": info.input_size,
            "parameters": info.parameters,
            "multiply_adds": info.multiply_adds,
        }
        options[name] = _table(options_of(backbone_config_class(name), flags=False, prefix="--backbone."), known)
    return {"backbones": backbones, "backbone_options": options}


def _table(options: Iterable[Option], known: Container[str] = ()) -> StoredOptions:
    return {
        name: [] if option.flag else option.kind or list(option.values) or None
        for option in options
        for name in option.names
        if name not in known
    }


if __name__ == "__main__":
    write_text_atomically(Path(str(FILE)), json.dumps(make_catalogue(), indent=1, ensure_ascii=False) + "\n")
