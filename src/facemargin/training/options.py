"""The options that a dataclass makes on the command line: for completion, and for hints where one is mistyped."""

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
    """`names`: "--output", and its aliases. `values`: what it may be, where that is a list; `kind`: of what they are
    the names ("protocols"), where they are a registry's. `flag`: it takes none."""

    names: tuple[str, ...]
    values: tuple[str, ...] = ()
    flag: bool = False
    kind: str = ""


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
            registry = _registry_in(hints[item.name])
            kind = "" if registry is None else registry.plural
            yield Option((*aliases, f"{prefix}{name}"), _values(hints[item.name]), kind=kind)


# What others call it.
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
    """Raise ConfigError, naming the nearest, for an option that there is not, and for a value that an option may not
    have. `more` says where all are listed."""
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


def check_own_options(arguments: Sequence[str], own: Iterable[Option], others: Iterable[str]) -> None:
    """Raise ConfigError for an option that is neither of `own` nor of `others`, which somebody else checks, where the
    nearest is one of `own`: it was meant, and mistyped."""
    names = [name for option in own for name in option.names]
    known = [*names, *others]
    for argument in arguments:
        name = _dashed(argument.partition("=")[0])
        if _is_option(name) and name not in known and (near := _nearest(name, known)) in names:
            raise ConfigError(f"unknown option {name}; did you mean {near}?")


def _is_option(name: str) -> bool:
    return name.startswith("--") and len(name) > 2 and name != "--help" and not name.startswith("--tyro-")


def _nearest(name: str, known: list[str]) -> str:
    """The option that was meant, "" where none is near: the same word in another part, or one spelt alike."""
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
    """The registry whose names an annotated text may be; None where it may be any."""
    return next((extra.registry for extra in extras if isinstance(extra, NameOf)), None)


def _registry_in(hint: Any) -> Registry[Any] | None:
    """As `registry_of`, of a hint that may be of a union."""
    inner, extras = _without_extras(hint)
    inside = map(_registry_in, get_args(inner) if get_origin(inner) in (Union, UnionType) else ())
    return registry_of(extras) or next((one for one in inside if one is not None), None)


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
