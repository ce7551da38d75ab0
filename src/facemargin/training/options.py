"""The options of a dataclass on the command line, for the completion and for hints about mistyped options."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from facemargin.errors import ConfigError
from facemargin.registry import NameOf, Registry


@dataclass(frozen=True)
class Option:
    """An option of the command line: `names` are "--output" and its aliases. `values` are the possible values, if they
    can be listed; if they are the names of a registry, `kind` is its plural ("protocols"). A `flag` has no value."""

    names: tuple[str, ...]
    values: tuple[str, ...] = ()
    flag: bool = False
    kind: str = ""


def options_of(cls: type[Any], flags: bool, prefix: str = "--") -> Iterator[Option]:
    """Every option of the dataclass and of the dataclasses in it. With `flags`, a field that is True or False is
    written without a value ("--detect"), as for verbs; otherwise with its value ("--compile True"), as for recipes."""
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
            registry = _registry_in(hints[item.name])
            kind = "" if registry is None else registry.plural
            yield Option((*aliases, f"{prefix}{name}"), _values(hints[item.name]), kind=kind)


# Names that other programs use for the same option.
_SYNONYMS = {
    "lr": "learning-rate",
    "wd": "weight-decay",
    "epoch": "epochs",
    "batch": "batch-size",
    "bs": "batch-size",
    "num-workers": "workers",
    "arch": "backbone.name",
    "loss": "head.name",
    "out": "output",
    "gpu": "device",
    "warmup": "warmup-epochs",
    "s": "scale",
    "m": "margin",
}


def check_options(arguments: Sequence[str], options: Iterable[Option], more: str) -> None:
    """Raise ConfigError for an unknown option and for a value that an option cannot have. The message suggests the
    nearest, or else says `more`, which is where all options are listed."""
    known = {name: option for option in options for name in option.names}
    for position, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        name = _dashed(name)
        if not _is_option(name):
            continue
        if name not in known:
            near = _nearest(name, list(known))
            raise ConfigError(f"unknown option {name}; " + (f"did you mean {near}?" if near else more))
        if not equals:
            value = "" if position + 1 == len(arguments) else arguments[position + 1]
        values = known[name].values
        if values and value and not value.startswith("--") and value not in (*values, "None"):
            near = "".join(difflib.get_close_matches(value, values, n=1))
            hint = f"did you mean {near}? " if near else ""
            raise ConfigError(f"{name} is {value}; {hint}It may be {', '.join(values)}".replace("; It", "; it"))


def check_own_options(arguments: Sequence[str], options: Iterable[Option], others: Iterable[str]) -> None:
    """Raise ConfigError for an argument that is probably a mistyped one of `options`: it is neither an option nor one
    of the names `others`, which are checked elsewhere, and the nearest known name is one of `options`."""
    names = [name for option in options for name in option.names]
    known = [*names, *others]
    for argument in arguments:
        name = _dashed(argument.partition("=")[0])
        if _is_option(name) and name not in known and (near := _nearest(name, known)) in names:
            raise ConfigError(f"unknown option {name}; did you mean {near}?")


def _is_option(name: str) -> bool:
    return name.startswith("--") and len(name) > 2 and name != "--help" and not name.startswith("--tyro-")


def _nearest(name: str, known: list[str]) -> str:
    """The option that was probably meant: one with the same word in another part of the recipe, or with a similar
    spelling. Empty if there is none."""
    word = name.removeprefix("--")
    for end in (word, _SYNONYMS.get(word, word)):
        same = [option for option in known if option.removeprefix("--") == end or option.endswith(f".{end}")]
        if same:
            return " or ".join(same[:3])
    return "".join(difflib.get_close_matches(name, known, n=1))


(_POSITIONAL,) = get_args(tyro.conf.Positional[int])[1:]


def _without_extras(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return inner, tuple(extras)
    return hint, ()


def registry_of(extras: Iterable[Any]) -> Registry[Any] | None:
    """The registry whose names are the possible values of an annotated text; None if any text is possible."""
    return next((extra.registry for extra in extras if isinstance(extra, NameOf)), None)


def _registry_in(hint: Any) -> Registry[Any] | None:
    """Like `registry_of`, for a type that may be a union."""
    inner, extras = _without_extras(hint)
    inside = map(_registry_in, get_args(inner) if get_origin(inner) in (Union, UnionType) else ())
    return registry_of(extras) or next((registry for registry in inside if registry is not None), None)


def _values(hint: Any) -> tuple[str, ...]:
    hint, extras = _without_extras(hint)
    origin = get_origin(hint)
    if registry := registry_of(extras):
        return tuple(registry.names())
    if hint is bool:
        return ("True", "False")
    if origin is Literal:
        return tuple(map(str, get_args(hint)))
    if origin in (Union, UnionType, tuple):
        return tuple(value for part in get_args(hint) for value in _values(part))
    return ()


def _dashed(name: str) -> str:
    return name.replace("_", "-")
