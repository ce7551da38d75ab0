"""What there is to choose from, and which options every verb takes, in a file: looked up without importing what it
lists, so that `facemargin list` and the completion of a shell need neither torch nor a network.

`python -m facemargin.commands._catalogue` writes the file again; a test says when it is out of date.
"""

import json
import sys
from collections.abc import Container, Iterable
from dataclasses import fields
from functools import cache
from importlib import import_module, resources
from pathlib import Path
from typing import Any, TypedDict

from facemargin.commands._verbs import VERBS, module_of
from facemargin.files.atomic import write_text_atomically
from facemargin.training.options import Option, options_of

FILE = resources.files("facemargin.commands") / "catalogue.json"

Options = dict[str, list[str] | None]
"""Every option: the values it may have, [] where it has none, None where they are no list."""


class MarginEntry(TypedDict):
    """`settings`: the margin's own, "scale=64.0"."""

    paper: str
    settings: list[str]


class BackboneEntry(TypedDict):
    """Pixels of the input's side, parameters, and multiply-adds that an image costs, with 512 features."""

    input_size: int
    parameters: int
    multiply_adds: int


class Catalogue(TypedDict):
    """`common_settings`: those that every margin has. `verbs`: the options of each. `recipe`: of every recipe, and
    those that its margin and its network add to it."""

    margins: dict[str, MarginEntry]
    common_settings: list[str]
    backbones: dict[str, BackboneEntry]
    protocols: dict[str, str]
    verbs: dict[str, Options]
    recipe: Options
    margin_options: dict[str, Options]
    backbone_options: dict[str, Options]


@cache
def read_catalogue() -> Catalogue:
    """The file's."""
    catalogue: Catalogue = json.loads(FILE.read_text(encoding="utf-8"))
    return catalogue


def make_catalogue() -> dict[str, Any]:
    """What the file should say, from what it is about: imports everything and builds every network."""
    from facemargin.evaluation.protocols.known import DESCRIPTIONS, list_protocols
    from facemargin.training.config import Recipe

    recipe = _table(options_of(Recipe, flags=False))
    parts = {**_margins(set(recipe)), **_backbones(set(recipe))}
    recipe |= {"--head.name": list(parts["margins"]), "--backbone.name": list(parts["backbones"])}
    return {
        **parts,
        "protocols": {name: DESCRIPTIONS[name] for name in list_protocols()},
        "verbs": {
            verb: _table(options_of(import_module(module_of(verb)).Arguments, flags=True)) for verb in sorted(VERBS)
        },
        "recipe": recipe,
    }


def _margins(known: set[str]) -> dict[str, Any]:
    from facemargin.margins import MarginConfig, list_margins, margin_class
    from facemargin.training.recipe import head_config_class

    common = {item.name for item in fields(MarginConfig)}
    margins, options = {}, {}
    for name in list_margins():
        cls = margin_class(name)
        # The file's first line names the paper.
        paper = (sys.modules[cls.__module__].__doc__ or "").splitlines()[0].split(": ")[0].removesuffix(".")
        args = [item for item in fields(cls.Config) if item.name not in common]
        margins[name] = {"paper": paper, "settings": [f"{item.name}={item.default!r}" for item in args]}
        options[name] = _table(options_of(head_config_class(name), flags=False, prefix="--head."), known)
    return {
        "margins": margins,
        "common_settings": [f"{item.name}={item.default!r}" for item in fields(MarginConfig)],
        "margin_options": options,
    }


def _backbones(known: set[str]) -> dict[str, Any]:
    from facemargin.backbones import describe_backbone, list_backbones
    from facemargin.training.recipe import backbone_config_class

    backbones, options = {}, {}
    for name in list_backbones():
        info = describe_backbone(name)
        backbones[name] = {
            "input_size": info.input_size,
            "parameters": info.parameters,
            "multiply_adds": info.multiply_adds,
        }
        options[name] = _table(options_of(backbone_config_class(name), flags=False, prefix="--backbone."), known)
    return {"backbones": backbones, "backbone_options": options}


def _table(options: Iterable[Option], known: Container[str] = ()) -> Options:
    return {
        name: [] if option.flag else list(option.values) or None
        for option in options
        for name in option.names
        if name not in known
    }


if __name__ == "__main__":
    write_text_atomically(Path(str(FILE)), json.dumps(make_catalogue(), indent=1, ensure_ascii=False) + "\n")
