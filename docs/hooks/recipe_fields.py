"""The reference of a recipe's fields, made from the dataclasses that check recipes: it cannot be out of date."""

import ast
import inspect
import textwrap
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

from mkdocs.structure.files import File

import facemargin as fm
from facemargin.training.config import BackboneConfig, HeadConfig, Recipe
from facemargin.training.recipe import backbone_config_class, head_config_class

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
    hints, docs = get_type_hints(cls), field_docstrings(cls)
    rows = [
        f"| `{item.name}` | {_type(hints[item.name])} | {_default(item)} | {_cell(docs.get(item.name, ''))} |"
        for item in fields(cls)
        if item.name not in leave_out
    ]
    return "\n".join(["| field | type | default | what it does |", "|---|---|---|---|", *rows]) if rows else ""


def field_docstrings(cls: type) -> dict[str, str]:
    """The string below each field, as the command line's help has it; of the class or the one that it extends."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            found.update(_docstrings_in_source(base))
    for name, text in getattr(cls, "__field_docs__", {}).items():
        found.setdefault(name, text)
    return found


def _docstrings_in_source(cls: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError):  # made by make_dataclass
        return {}
    body = tree.body[0].body
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
    }


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
        return [f"a list of {len(inside)}, {' or '.join(_alternatives(inside[0]))}"]
    return [{type(None): "none", str: "text", bool: "true or false"}.get(hint, hint.__name__)]


def _default(item) -> str:
    value = item.default if item.default is not MISSING else item.default_factory()
    return _cell(f"`{_in_yaml(value)}`" if value != "" else "–")


def _in_yaml(value) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_in_yaml, value))}]"
    return (
        {None: "null", True: "true", False: "false"}.get(value, str(value))
        if not isinstance(value, float)
        else str(value)
    )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def on_files(files, config):
    files.append(File.generated(config, PLACE, content=page_text()))
    return files
