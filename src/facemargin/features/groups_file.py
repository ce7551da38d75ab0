"""Reads the groups of people or images from a file. Shapes: N images."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from facemargin.counting import counted
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import DataError
from facemargin.features.paths_by_end import PathsByEnd
from facemargin.files.unicode_names import one_form

KEYS = ("image", "person")
_DELIMITERS = ",;\t"


class GroupsFile:
    """A .csv file with a line of headings: `image` (the end of its path, see `PathsByEnd`) or `person` (the name in the
    set) first, and then one or more columns of labels, such as sex, age or camera. An empty label is no group. Columns
    are separated by commas, semicolons or tabs.

    Raises DataError, which names file and line, for content that cannot be read, and for an image, a person or a column
    that occurs twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8-sig")
            delimiter = max(_DELIMITERS, key=text.split("\n", 1)[0].count)
            reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path} cannot be read as a table of groups: {error}") from error
        headings = lines[0][1] if lines else []
        self.key = headings[0].lower() if headings else ""
        if self.key not in KEYS or len(headings) < 2 or len(lines) < 2:
            raise DataError(
                f"{path} begins with {delimiter.join(headings)[:80]!r}; expected a line of headings, image or person "
                f"first "
                "and then one column of labels or more (such as image,sex,age), and a line for every image or person"
            )
        self.columns = headings[1:]
        for column in self.columns:
            if not column or self.columns.count(column) > 1:
                raise DataError(
                    f"{path} has a column without a name"
                    if not column
                    else f"{path} has {self.columns.count(column)} columns called {column}, expected one"
                )
        for line, row in lines[1:]:
            if len(row) != len(headings) or not row[0]:
                given = counted(len(row), "value") if row[0] else f"no {self.key}"
                raise DataError(f"{path}, line {line}: {given}, expected {len(headings)}: {delimiter.join(headings)}")
        self._rows = [row for _, row in lines[1:]]
        self._paths = PathsByEnd([row[0] for row in self._rows], path) if self.key == "image" else None
        self._place_of = {} if self._paths is not None else self._by_person([line for line, _ in lines[1:]])

    def of(self, pairs: VerificationSet) -> dict[str, list[str]]:
        """The labels (N,) of the set's images by column, empty for none. Raises DataError, which names them, for images
        or people that have no line."""
        rows = [self._rows[place] for place in self._places(pairs)]
        return {column: [row[number] for row in rows] for number, column in enumerate(self.columns, 1)}

    def unused(self, sets: Sequence[VerificationSet]) -> list[str]:
        """The images or people of the lines that none of the sets has."""
        used = {place for pairs in sets for place in self._places(pairs)}
        return [row[0] for place, row in enumerate(self._rows) if place not in used]

    def _places(self, pairs: VerificationSet) -> list[int]:
        """The line of every image."""
        if self._paths is not None:
            return [int(place) for place in self._paths.find(pairs.images, "group")]
        return self._places_of_people(pairs)

    def _by_person(self, lines: Sequence[int]) -> dict[str, int]:
        place_of: dict[str, int] = {}
        for place, (row, line) in enumerate(zip(self._rows, lines, strict=True)):
            first = place_of.setdefault(one_form(row[0]), place)
            if first != place:
                raise DataError(
                    f"{self.path}, line {line}: {row[0]} has a line already, line {lines[first]}; expected one for "
                    f"each "
                    "person (for labels of images, such as a camera, begin the lines with image)"
                )
        return place_of

    def _places_of_people(self, pairs: VerificationSet) -> list[int]:
        if pairs.identities_N is None or pairs.identity_names is None:
            raise DataError(
                f"{self.path} has a line for each person, but {pairs.name} does not name its people: write one for "
                f"each "
                "image (image,sex,…)"
            )
        names = [one_form(name) for name in pairs.identity_names]
        shown = sorted({names[identity] for identity in pairs.identities_N.tolist()})
        missing = [name for name in shown if name not in self._place_of]
        if missing:
            raise DataError(
                f"{self.path} has no line for {len(missing):,} of {counted(len(shown), 'person', 'people')} of "
                f"{pairs.name} ({', '.join(missing[:5])}{', …' if len(missing) > 5 else ''}): write one for each, with "
                f"empty labels for no group; it has lines for {', '.join(list(self._place_of)[:3])}, …"
            )
        return [self._place_of[names[identity]] for identity in pairs.identities_N.tolist()]
