"""Typed dataclasses from YAML: an unknown or ill-typed field is an error that names it, never a silent default."""

import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from facemargin.counting import counted
from facemargin.errors import ConfigError
from facemargin.files.plain_numbers import decimal_number
from facemargin.registry import unknown_name

T = TypeVar("T")


_LARGEST_FILE = 1 << 18
_INTEGER, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_WORDS = {int: "a whole number", bool: "true or false", str: "a text"}
_NOT_FINITE = ("nan", "inf", "-inf")
# Digits, perhaps in groups of three as 1_000_000.
_NUMBER = re.compile(
    r"[-+]?(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)|[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?",
    re.ASCII,
)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, which YAML's own loader resolves silently, and aliases, by which a few
    lines become a list without end."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]  # types-PyYAML has none for it
            raise yaml.composer.ComposerError(None, None, "aliases (*name) are not read", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(None, None, f"a key is a {type(key).__name__}", node.start_mark)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


def _plain_number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    """A number as everybody reads it. YAML 1.1 also takes 1_12 for 112, 010 for 8, 1:30 for 90 and 0x10 for 16."""
    text = str(loader.construct_scalar(node))
    number = _NUMBER.fullmatch(text)
    if number is None and text.lstrip("+-").lower() not in (".inf", ".nan"):
        raise yaml.constructor.ConstructorError(
            None, None, f"{text} is ambiguous; write a number with plain digits, or a text in quotes",
            node.start_mark,
        )  # fmt: skip
    return loader.construct_yaml_int(node) if node.tag == _INTEGER else loader.construct_yaml_float(node)


for _tag in (_INTEGER, _FLOAT):
    _Loader.add_constructor(_tag, _plain_number)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; ConfigError naming the file if it cannot be read or holds something else."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path} has {path.stat().st_size:,} bytes, too many for a list of settings")
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except ConfigError:
        raise
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} contains a {type(content).__name__}, expected a mapping of fields")
    return content


def from_mapping(cls: type[T], mapping: Mapping[str, Any], where: str) -> T:
    """The dataclass `cls` with the fields that `mapping` gives and its defaults for the rest.

    `where` names the source in messages. Raises ConfigError for an unknown field (naming the nearest), a value of the
    wrong type, or a missing field without default.
    """
    hints = get_type_hints(cls)
    known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
    values = {}
    for name, value in mapping.items():
        if name not in known:
            raise ConfigError(f"{where}: {unknown_name('field', str(name), list(known))}")
        values[name] = _convert(hints[name], value, f"{where}: {name}")
    for name, item in known.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ConfigError(f"{where}: field {name!r} is missing")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        if not any(type(value) is type(choice) and value == choice for choice in arguments):  # True is 1 to Python
            nearest = get_close_matches(str(value), [choice for choice in arguments if isinstance(choice, str)], n=1)
            hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
            raise ConfigError(f"{where} is {value!r}, expected one of {', '.join(map(repr, arguments))}{hint}")
        return value
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (inner,) = [argument for argument in arguments if argument is not type(None)]
        return _convert(inner, value, where)
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{where} is {value!r}, expected a mapping of fields")
        return from_mapping(hint, value, where)  # type: ignore[arg-type]
    if hint is float and isinstance(value, int | float | str) and not isinstance(value, bool):
        # Text too: YAML 1.1 reads 5e-4 (no point) as such. What nan and inf are good for, the field says.
        try:
            number = decimal_number(value) if isinstance(value, str) and value not in _NOT_FINITE else float(value)
        except OverflowError:
            number = None
        if number is None:
            raise ConfigError(f"{where} is {value!r}, expected a number")
        return number
    if type(value) is not hint:
        raise ConfigError(f"{where} is {value!r}, expected {_WORDS.get(hint, hint.__name__)}")
    return value


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} is {value!r}, expected a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise ConfigError(f"{where} has {counted(len(value), 'value')}, expected {len(arguments)}")
    return tuple(
        _convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def to_yaml(config: Any) -> str:
    """The dataclass as YAML that `from_mapping` reads back to an equal one."""
    return yaml.safe_dump(_plain(config), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
