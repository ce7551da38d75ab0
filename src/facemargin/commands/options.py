"""The options that a dataclass makes on the command line, for completion and for hints."""

from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro


@dataclass(frozen=True)
class Option:
    """`names`: "--output", and its aliases. `values`: what it may be, where that is a list. `flag`: it takes none."""

    names: tuple[str, ...]
    values: tuple[str, ...] = ()
    flag: bool = False


def options_of(cls: type[Any], flags: bool, prefix: str = "--") -> Iterator[Option]:
    """Every option of the dataclass and of those in it. `flags`: a field that is True or False is written alone
    ("--detect"), as the verbs' own are, and not with its value ("--compile True"), as a recipe's are."""
    hints = get_type_hints(cls, include_extras=True)
    for item in fields(cls):
        hint, extras = _without_extras(hints[item.name])
        if is_dataclass(hint):
            yield from options_of(hint, flags, f"{prefix}{_dashed(item.name)}.")  # type: ignore[arg-type]
            continue
        if any(extra is _POSITIONAL for extra in extras):
            continue
        aliases = tuple(alias for extra in extras for alias in getattr(extra, "aliases", None) or ())
        name = _dashed(item.name)
        if flags and hint is bool and item.default is not MISSING:
            yield Option((*aliases, f"{prefix}no-{name}" if item.default else f"{prefix}{name}"), flag=True)
        else:
            yield Option((*aliases, f"{prefix}{name}"), _values(hint))


def positional_values(cls: type[Any]) -> tuple[str, ...]:
    """What the first argument without a name may be, where that is a list."""
    for hint in get_type_hints(cls, include_extras=True).values():
        inner, extras = _without_extras(hint)
        if any(extra is _POSITIONAL for extra in extras):
            return _values(inner)
    return ()


(_POSITIONAL,) = get_args(tyro.conf.Positional[int])[1:]


def _without_extras(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return inner, tuple(extras)
    return hint, ()


def _values(hint: Any) -> tuple[str, ...]:
    hint, _ = _without_extras(hint)
    origin = get_origin(hint)
    if hint is bool:
        return ("True", "False")
    if origin is Literal:
        return tuple(map(str, get_args(hint)))
    if origin in (Union, UnionType, tuple):
        return tuple(value for part in get_args(hint) for value in _values(part))
    return ()


def _dashed(name: str) -> str:
    return name.replace("_", "-")
