"""Names that look the same and are written in different Unicode normal forms: "é" as one character, as keyboards and
most programs write it (NFC), or as "e" and an accent (NFD), as archives from macOS have it in file names."""

import logging
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

logger = logging.getLogger(__name__)


def one_form(name: str) -> str:
    """The same for all normal forms of a name: its NFC."""
    return unicodedata.normalize("NFC", name)


def find_file(path: Path) -> Path | None:
    """`path` where there is such a file or folder, else the one whose path differs from it only in Unicode normal form;
    None where there is none, and where there are several."""
    similar = similar_files(path)
    return similar[0] if len(similar) == 1 else None


def similar_files(path: Path) -> list[Path]:
    """`path` alone where it exists, else all that differ from it only in Unicode normal form."""
    try:
        if path.exists() or path.is_symlink():
            return [path]
        if str(path).isascii():
            return []
        return [
            folder / name
            for folder in (similar_files(path.parent) if path.parent != path else [])
            if folder.is_dir()
            for name in _names_by_form(folder, folder.stat().st_mtime_ns).get(one_form(path.name), ())
        ]
    except (OSError, ValueError):  # a name that is too long, or with a zero byte; a folder that may not be listed
        return []


@lru_cache(maxsize=64)
def _names_by_form(folder: Path, changed: int) -> dict[str, list[str]]:
    """The names in a folder by what is the same in all normal forms. `changed` is when it was, for the cache."""
    names: dict[str, list[str]] = {}
    for path in sorted(folder.iterdir()):
        names.setdefault(one_form(path.name), []).append(path.name)
    return names


def warn_of_twins(name: str, people: Iterable[str]) -> None:
    """Log names that look the same but count as two people, because their accents are encoded differently."""
    by_form: dict[str, list[str]] = {}
    for person in people:
        by_form.setdefault(one_form(person), []).append(person)
    twins = [form for form, names in by_form.items() if len(names) > 1]
    if twins:
        logger.warning(
            "%s: %s there twice, in different Unicode normal forms, and taken for different people: %s",
            name, "1 name is" if len(twins) == 1 else f"{len(twins)} names are", ", ".join(twins[:5]),
        )  # fmt: skip
