"""Dataclasses as the command line shows them: every field with its words, no "{None}|", no "(default: None)"."""

import ast
import functools
import inspect
import shlex
import textwrap
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import tyro

from facemargin.training.options import registry_of

T = TypeVar("T")

_PLACEHOLDERS = {int: "INT", float: "FLOAT", str: "STR"}


def field_help(cls: type[Any]) -> dict[str, str]:
    """The words for every field: the docstring below it, of the class itself or one that it inherits from, and of a
    class that was made, and so has no source to hold them, its FIELD_HELP."""
    words: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            words |= _docstrings(base) | base.__dict__.get("FIELD_HELP", {})
    return words


@cache
def _docstrings(cls: type[Any]) -> dict[str, str]:
    try:
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError):  # a class that was made
        return {}
    assert isinstance(tree, ast.ClassDef)
    docstrings = {}
    for member, words in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(member, ast.AnnAssign) and isinstance(member.target, ast.Name) and isinstance(words, ast.Expr):
            if isinstance(words.value, ast.Constant) and isinstance(words.value.value, str):
                docstrings[member.target.id] = " ".join(words.value.value.split())
    return docstrings


def explained(cls: type[T], flags: bool) -> type[T]:
    """A subclass that differs in what tyro says of its fields, and of those of the dataclasses in it, and that checks
    nothing: `as_class` makes what was asked for, checked. `flags`: as in `options_of`."""
    made: type[T] = _explained(cls, flags)  # type: ignore[arg-type]
    return made


@cache
def _explained(cls: type[Any], flags: bool) -> type[Any]:
    hints, words = get_type_hints(cls, include_extras=True), field_help(cls)
    shown = []
    for item in fields(cls):
        hint = hints[item.name]
        if is_dataclass(hint):
            hint = _explained(hint, flags)  # type: ignore[arg-type]
            shown.append((item.name, hint, field(default_factory=hint)))
            continue
        said = "" if flags and hint is bool else _default
        hint = _with_choices(hint)
        argument = tyro.conf.arg(help=words.get(item.name), help_behavior_hint=said, metavar=_placeholder(hint))
        # What the field says of itself comes last, and counts.
        inner, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        hint = functools.reduce(lambda so_far, extra: Annotated[so_far, extra], [argument, *extras], inner)
        shown.append((item.name, hint, field(default=item.default, default_factory=item.default_factory)))
    # Unchecked: tyro would take a ConfigError for a word of its own. `as_class` checks.
    unchecked = {"__post_init__": lambda self: None}
    made = make_dataclass(cls.__name__, shown, bases=(cls,), namespace=unchecked, frozen=True, kw_only=True)
    made.__doc__ = cls.__doc__
    return made


def _with_choices(hint: Any) -> Any:
    """The hint with a Literal of all names in place of each text that is a name of a registry."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    if registry := registry_of(extras):
        return cast(Any, Literal)[tuple(registry.names())]
    if not extras and get_origin(hint) in (Union, UnionType):
        return Union[tuple(map(_with_choices, get_args(hint)))]  # noqa: UP007
    return hint


def _placeholder(hint: Any) -> str | None:
    """What stands for the value of a field that may be None, without that; None leaves it to tyro."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) not in (Union, UnionType) or type(None) not in get_args(hint):
        return None
    (inner,) = (part for part in get_args(hint) if part is not type(None))
    if get_origin(inner) is Literal:
        return "{" + ",".join(map(str, get_args(inner))) + "}"
    return _PLACEHOLDERS.get(inner, getattr(inner, "__name__", "VALUE").upper())


def _default(label: str) -> str:
    """The default, of tyro's words for it, where there is something to say."""
    words = shlex.split(label)
    return "" if label == "None" or not any(words) else f"(default: {' '.join(words)})"


def as_class(value: Any, cls: type[T]) -> T:
    """The same values as an instance of `cls`, which has the same fields."""
    hints = get_type_hints(cls)
    values = {}
    for item in fields(cls):  # type: ignore[arg-type]
        content = getattr(value, item.name)
        values[item.name] = as_class(content, hints[item.name]) if is_dataclass(content) else content
    return cls(**values)
