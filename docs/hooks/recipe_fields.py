"""The reference of a recipe's fields, made from the dataclasses that check recipes: it cannot be out of date."""

import inspect
import json
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from mkdocs.structure.files import File

import facemargin as fm
from facemargin.training.config import BackboneConfig, HeadConfig, Recipe
from facemargin.training.explained import field_help
from facemargin.training.recipe import backbone_config_class, head_config_class

_WORDS = {bool: "true or false", int: "whole number", float: "number", str: "text", type(None): "null"}
PLACE = "reference/recipe_fields.md"
_INTRODUCTION = """# Fields of a recipe

Every field that a recipe can have, with its type and its default, made from the code that checks recipes. In a YAML
file a section is a mapping (`optimizer: {learning_rate: 0.1}`), on the command line a prefix
(`--optimizer.learning-rate 0.1`). `facemargin train RECIPE --fields` shows the same with the values of that recipe;
[Training](../train.md) explains.
"""


def page_text() -> str:
    sections = [item for item in fields(Recipe) if is_dataclass(item.default_factory)]
    parts = [_INTRODUCTION, "## The recipe itself", _table(Recipe, leave_out={item.name for item in sections})]
    for item in sections:
        parts += [f"## {item.name}", _summary(item.default_factory), _table(item.default_factory)]
        if item.name == "head":
            parts += _choices("Margins", fm.list_margins(), head_config_class, HeadConfig)
        if item.name == "backbone":
            parts += _choices("Networks", fm.list_backbones(), backbone_config_class, BackboneConfig)
    return "\n\n".join(part for part in parts if part) + "\n"


def _choices(title, names, class_of, base) -> list[str]:
    """The fields that each choice of a name adds; names that add the same ones share a table."""
    shared = {item.name for item in fields(base)}
    tables: dict[str, list[str]] = {}
    for name in names:
        tables.setdefault(_table(class_of(name), leave_out=shared), []).append(name)
    parts = [f"### {title} and what each adds"]
    for table, sharing in tables.items():
        parts += ["**" + ", ".join(f"`{name}`" for name in sharing) + "**", table or "nothing"]
    return parts


def _table(cls, leave_out=frozenset()) -> str:
    hints, words = get_type_hints(cls), field_help(cls)
    rows = [
        f"| `{item.name}` | {_type(hints[item.name])} | {_default(item)} | {_cell(words[item.name])} |"
        for item in fields(cls)
        if item.name not in leave_out
    ]
    return "\n".join(["| field | type | default | what it does |", "|---|---|---|---|", *rows]) if rows else ""


def _summary(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _type(hint) -> str:
    return _cell(" or ".join(_alternatives(hint)))


def _alternatives(hint) -> list[str]:
    """What a field may be, in words of YAML: the choices of a Literal, each member of a union."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Literal:
        return [f"`{choice}`" for choice in inside]
    if origin is Annotated:
        return _alternatives(inside[0])
    if origin in (Union, UnionType):
        return [text for member in inside for text in _alternatives(member)]
    if origin is tuple and inside[-1] is Ellipsis:
        return [f"a list of {' or '.join(_alternatives(inside[0]))}"]
    if origin is tuple:
        return [f"[{', '.join(' or '.join(_alternatives(member)) for member in inside)}]"]
    return [_WORDS[hint]]


def _default(item) -> str:
    value = item.default if item.default is not MISSING else item.default_factory()
    return _cell(f"`{_in_yaml(value)}`" if value != "" else "–")


def _in_yaml(value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_in_yaml, value))}]"
    return json.dumps(value) if isinstance(value, bool | None) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def on_files(files, config):
    files.append(File.generated(config, PLACE, content=page_text()))
    return files
