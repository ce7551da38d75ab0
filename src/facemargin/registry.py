"""A name → factory table with suggestions for misspelt names."""

import difflib
from collections.abc import Callable
from fnmatch import fnmatch
from typing import Generic, TypeVar

from facemargin.errors import ConfigError

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to classes or functions. `kind` ("margin", "backbone") is what messages call the entries."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, *names: str) -> Callable[[T], T]:
        """Decorator that files the decorated object under each of `names`; a name taken twice is an error."""

        def decorate(entry: T) -> T:
            for name in names:
                if name in self._entries:
                    raise ValueError(f"{self.kind} {name!r} is registered twice")
                self._entries[name] = entry
            return entry

        return decorate

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise ConfigError(unknown_name(self.kind, name, self._entries))
        return self._entries[name]

    def names(self, pattern: str = "*") -> list[str]:
        """Registered names that match a shell-style pattern, sorted."""
        return sorted(name for name in self._entries if fnmatch(name, pattern))


def unknown_name(kind: str, name: str, known: "dict[str, T] | list[str]") -> str:
    """The message for a name that does not exist: the nearest known name if there is one, else all of them."""
    nearest = difflib.get_close_matches(str(name), known, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(sorted(known))}"
    return f"unknown {kind} {name!r}; {hint}"
