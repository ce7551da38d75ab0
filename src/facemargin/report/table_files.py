"""The tables of a report as CSV, for programs: numbers in full precision, rates as fractions."""

import csv
import io

from facemargin.evaluation.number_format import NOT_AVAILABLE
from facemargin.report.blocks import Cell, TableBlock


def table_csv(block: TableBlock) -> str:
    """`block` with a column per heading, and two more where numbers have intervals. What is not available is empty."""
    rows = block.table.rows
    columns = [
        (_plain(heading), [cells[place] for _, cells in rows]) for place, heading in enumerate(block.table.headings)
    ]
    if block.table.more:
        columns = [(heading, cells) for heading, cells in columns if any(cell.number is not None for cell in cells)]
    values: dict[str, list[str | float | None]] = {block.rows: [_plain(name) for name, _ in rows]}
    for heading, cells in columns:
        values[heading] = [_value(cell) for cell in cells]
        if any(cell.span for cell in cells):
            for end, place in (("from", 0), ("to", 1)):
                values[f"{heading}, {end}"] = [cell.span[place] if cell.span else None for cell in cells]
    values |= {heading: list(numbers) for heading, numbers in block.table.more.items()}
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(values)
    writer.writerows(zip(*values.values(), strict=True))
    return buffer.getvalue()


def _value(cell: Cell) -> str | float | None:
    if cell.number is not None:
        return cell.number
    return None if cell.value == NOT_AVAILABLE else _plain(" ".join([cell.value, cell.interval]).strip())


def _plain(text: str) -> str:
    """Without the spaces and hyphens at which a page must not break."""
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")
