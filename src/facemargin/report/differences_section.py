"""The part of a report about whether systems differ, for data sets and protocols."""

from collections.abc import Iterator

from facemargin.evaluation.differences_table import HEADINGS, difference_cells
from facemargin.evaluation.system_differences import SystemDifferences
from facemargin.report.blocks import Block, Cell, Heading, Notes, Table, TableBlock
from facemargin.report.wording import far_text


def differences_blocks(differences: SystemDifferences, name: str, of: str, where: str = "") -> Iterator[Block]:
    """The differences of TAR on `of`, such as a data set, with what they stand on, or why there are none; nothing if
    there is one system. `name` is that of the table, and `where` a part of the heading."""
    if not differences.notes:
        return
    yield Heading(f"Do the systems differ{where}?")
    if differences.rows:
        yield TableBlock(name, f"Differences of TAR on {of}", _table(differences), "Systems and FAR")
    yield Notes(differences.notes)


def _table(differences: SystemDifferences) -> Table:
    rows = []
    for row in differences.rows:
        point = row.point
        texts = [text.partition("\n") for text in difference_cells(row)]
        numbers = (point.difference, point.p_value, row.adjusted_p, point.variance**0.5, None)
        spans = (point.interval, None, None, None, None)
        name = f"{row.first} − {row.second}, {far_text(point.target_far)}"
        cells = [
            Cell(value, below, number=n, span=s) for (value, _, below), n, s in zip(texts, numbers, spans, strict=True)
        ]
        rows.append((name, cells))
    points = [row.point for row in differences.rows]
    more: dict[str, list[float | None]] = {
        "FAR": [point.target_far for point in points],
        "Std. error, unbiased": [
            point.unbiased_variance**0.5 if point.unbiased_variance > 0 else None for point in points
        ],
    }
    for place, which in enumerate(("first", "second")):
        more[f"Impostor pairs, {which}"] = [getattr(point, which).impostors_accepted for point in points]
        more[f"People, {which}"] = [point.people[place] for point in points]
    return Table(list(HEADINGS), rows, more)
