"""The lines of text files that list images: their encoding, their columns, headings and comments."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from facemargin.errors import DataError
from facemargin.files.listing import IMAGE_SUFFIXES
from facemargin.files.plain_numbers import decimal_number

_SUFFIX = r"\.(?:" + "|".join(sorted(re.escape(suffix[1:]) for suffix in IMAGE_SUFFIXES)) + ")"
_ENDINGS = tuple(IMAGE_SUFFIXES)
_QUOTED = re.compile(r'"([^"]+)"[ \t]+(.+)')
_IMAGE_FIRST = re.compile(rf"(.*{_SUFFIX})[ \t]+(.+)", re.IGNORECASE)
_SEPARATED = re.compile(rf'{_SUFFIX}"?[ \t]*([,;])', re.IGNORECASE)
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def is_image_column(text: str) -> bool:
    """Whether a column names an image, by its suffix."""
    return text.lower().endswith(_ENDINGS)


def read_columns(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number and the columns of every line that is neither empty nor a comment (`# …`), without white space around
    them. Raises DataError for a file that cannot be read or is no text.

    Columns are separated by tabs; in files whose first line has none, by commas or semicolons, if it has them behind
    the image or in place of all white space, and otherwise by spaces. Columns may be in double quotes.
    """
    lines = _text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    lines = ["" if _is_comment(line, path.parent) else line for line in lines]
    first = next((line for line in lines if line.strip()), "")
    separator = _separator(first, is_csv=path.suffix.lower() == ".csv")
    if separator is not None:
        yield from _separated(lines, separator, path)
        return
    for number, line in enumerate(lines, 1):
        if line.strip():
            columns = line.split("\t") if "\t" in line else _split_at_spaces(line.strip())
            yield number, [_unquoted(column.strip()) for column in columns]


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        if content.startswith(_UTF_16_MARKS):
            return content.decode("utf-16")
        if content.count(b"\0") > len(content) // 4:
            raise ValueError("every second byte is zero, as in UTF-16")
    except ValueError as error:
        raise DataError(f"{path} is not text in UTF-8 ({error}); save it as UTF-8") from error
    return content.decode("utf-8-sig", errors="surrogateescape")


def _is_comment(line: str, folder: Path) -> bool:
    """A line that begins with `#`, unless it names an image that is there."""
    if not line.startswith("#"):
        return False
    name = re.split(r"[\t,;]", line)[0] if re.search(r"[\t,;]", line) else _split_at_spaces(line.strip())[0]
    try:
        return not (is_image_column(name) and (folder / name).is_file())
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        return True


def _separator(line: str, is_csv: bool) -> str | None:
    """The comma or the semicolon between the columns of a file with this first line, None where there is none."""
    if "\t" in line:
        return None
    match = _SEPARATED.search(line)
    if match:
        return match[1]
    if is_csv or not re.search(r"[ \t]", line.strip()):
        return next((separator for separator in ",;" if separator in line), None)
    return None


def _separated(lines: Sequence[str], separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((line + "\n" for line in lines), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        for columns in reader:
            if any(column.strip() for column in columns):
                yield reader.line_num, [column.strip() for column in columns]
    except (csv.Error, ValueError) as error:
        raise DataError(f"{path} line {reader.line_num}: cannot be read: {error}") from error


def _split_at_spaces(line: str) -> list[str]:
    """An image and its label, or a label and its image; either may hold spaces."""
    if match := _QUOTED.fullmatch(line):
        return [match[1], match[2]]
    if match := _IMAGE_FIRST.fullmatch(line):
        rest = match[2].split()
        return [match[1], *rest] if all(decimal_number(word) is not None for word in rest) else [match[1], match[2]]
    words = line.split()
    if is_image_column(line) and len(words) > 1:
        numbers = next((place for place, word in enumerate(words) if decimal_number(word) is None), 0)
        return line.split(maxsplit=numbers) if numbers else line.rsplit(maxsplit=1)
    return line.rsplit(maxsplit=1)


def _unquoted(column: str) -> str:
    is_quoted = len(column) > 1 and column[0] == column[-1] == '"'
    return column[1:-1].replace('""', '"') if is_quoted else column
