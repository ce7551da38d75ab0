"""The fields of a JSON object that may come from anybody, each read as one kind of value, with errors that name it."""

import math
from collections.abc import Collection
from typing import Any


class Fields:
    """The `content` of a JSON file or of an object in it; `place` is where in the file it is. Every method takes a
    field out and raises ValueError, which names it, if it is missing or another kind of value."""

    def __init__(self, content: Any, place: str = "") -> None:
        self._place = place
        if not isinstance(content, dict):
            raise ValueError(f"{place or 'the file'} is {_shown(content)}, expected an object with fields")
        self._content = dict(content)

    def end(self) -> None:
        """Raises ValueError for a field that nobody asked for."""
        if self._content:
            raise ValueError(f"{self._name(next(iter(self._content)))} is not a field of this file")

    def text(self, field: str, among: Collection[str] = ()) -> str:
        value = self._take(field)
        if not isinstance(value, str) or (among and value not in among):
            raise self._error(field, value, f"one of {', '.join(among)}" if among else "a text")
        return value

    def optional_text(self, field: str) -> str | None:
        return None if self._is_null(field) else self.text(field)

    def flag(self, field: str) -> bool:
        value = self._take(field)
        if not isinstance(value, bool):
            raise self._error(field, value, "true or false")
        return value

    def count(self, field: str) -> int:
        value = self._take(field)
        if type(value) is not int or not 0 <= value < 2**63:
            raise self._error(field, value, "a whole number of at least 0")
        return value

    def number(self, field: str, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number from `low` to `high`."""
        value = self._take(field)
        if type(value) not in (int, float) or not abs(value) < 1e300 or not low <= value <= high:
            within = "" if low == -math.inf else f" from {low:g} to {high:g}"
            raise self._error(field, value, f"a finite number{within}")
        return float(value)

    def optional_number(self, field: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        return None if self._is_null(field) else self.number(field, low, high)

    def numbers(self, field: str) -> list[float]:
        """A list of at least one finite number."""
        values = self._take(field)
        if not isinstance(values, list) or not values or any(type(value) not in (int, float) for value in values):
            raise self._error(field, values, "a list of numbers")
        inside = Fields({str(index): value for index, value in enumerate(values)}, self._name(field))
        return [inside.number(str(index)) for index in range(len(values))]

    def optional_numbers(self, field: str) -> list[float] | None:
        return None if self._is_null(field) else self.numbers(field)

    def texts(self, field: str, among: Collection[str]) -> list[str]:
        """A list of at least one text, each of them one of `among`."""
        values = self._take(field)
        if not isinstance(values, list) or not values:
            raise self._error(field, values, "a list of texts")
        inside = Fields({str(index): value for index, value in enumerate(values)}, self._name(field))
        return [inside.text(str(index), among) for index in range(len(values))]

    def fields(self, field: str) -> "Fields":
        return Fields(self._take(field), self._name(field))

    def optional_fields(self, field: str) -> "Fields | None":
        return None if self._is_null(field) else self.fields(field)

    def list_of_fields(self, field: str) -> "list[Fields]":
        """A list of at least one object."""
        values = self._take(field)
        if not isinstance(values, list) or not values:
            raise self._error(field, values, "a list of objects")
        return [Fields(value, f"{self._name(field)}[{index}]") for index, value in enumerate(values)]

    def settings(self) -> dict[str, str | int | float]:
        """All fields that are left: texts and finite numbers."""
        found: dict[str, str | int | float] = {}
        for name, value in list(self._content.items()):
            if isinstance(value, str) or type(value) is int:
                found[name] = self._content.pop(name)
            else:
                found[name] = self.number(name)
        return found

    def refuse(self, field: str, value: object, expected: str) -> ValueError:
        """The error that a field, which was read, has a value that does not fit to the others."""
        return self._error(field, value, expected)

    def _is_null(self, field: str) -> bool:
        if field in self._content and self._content[field] is None:
            del self._content[field]
            return True
        return False

    def _take(self, field: str) -> Any:
        if field not in self._content:
            raise ValueError(f"{self._name(field)} is missing")
        return self._content.pop(field)

    def _name(self, field: str) -> str:
        return f"{self._place}.{field}" if self._place else field

    def _error(self, field: str, value: object, expected: str) -> ValueError:
        return ValueError(f"{self._name(field)} is {_shown(value)}, expected {expected}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
