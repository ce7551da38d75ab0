"""Registries: margins, networks, formats and others by name, from this package and from installed plugins."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from facemargin.errors import ConfigError
from facemargin.plugins import import_plugins

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to classes, functions or settings, each with a description for `facemargin list`.

    `kind` ("margin", "backbone") is the word for an entry in messages; `plural` is the word for all of them in the
    entry points of plugins and in `facemargin list`. When a name is first looked up, the module `home` (if it is a
    package, all its modules) and the modules of plugins are imported, so that they can register their entries.
    """

    def __init__(self, kind: str, home: str = "", plural: str = "") -> None:
        self.kind = kind
        self.plural = plural or f"{kind}s"
        self._home = home
        self._entries: dict[str, T] = {}
        self._descriptions: dict[str, str] = {}
        self._is_complete = False

    def register(self, *names: str, description: str = "") -> Callable[[T], T]:
        """Decorator that registers an object under each of `names`. Raises ValueError for a name that is taken."""

        def decorate(entry: T) -> T:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"{self.kind} {name!r} is registered twice")
                self._entries[name] = entry
                self._descriptions[name] = description
            return entry

        return decorate

    def __getitem__(self, name: str) -> T:
        entries = self._complete()
        if name not in entries:
            raise ConfigError(unknown_name(self.kind, name, entries))
        return entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._complete()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self._complete())

    def names(self, pattern: str = "*") -> list[str]:
        """Registered names that match a shell-style pattern, sorted."""
        return sorted(name for name in self._complete() if fnmatch(name, pattern))

    def values(self) -> list[T]:
        """The registered objects, in the order of their registration."""
        return list(self._complete().values())

    def description(self, name: str) -> str:
        """The description with which `name` was registered."""
        self._complete()
        return self._descriptions[name]

    def _complete(self) -> dict[str, T]:
        if not self._is_complete:
            if self._home:
                _import_modules(self._home)
            import_plugins(self.plural)
            self._is_complete = True  # after the imports, which lock out other threads; a nested look-up just repeats
        return self._entries


@dataclass(frozen=True)
class NameOf:
    """Annotated[str, NameOf(registry)] is the type of a field that contains one of the registry's names. The command
    line shows the names in the help and checks the value."""

    registry: Registry[Any]


def _import_modules(name: str) -> None:
    """Import the module of this name, and where it is a package all modules in it."""
    for module in iter_modules(getattr(import_module(name), "__path__", ())):
        import_module(f"{name}.{module.name}")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist, with the nearest known name if there is one, that in other letter
    case first, otherwise with all names."""
    known = sorted(known)
    in_other_case = [one for one in known if one.lower() == str(name).lower()]
    nearest = in_other_case or difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(known)}"
    return f"unknown {kind} {name!r}; {hint}"
