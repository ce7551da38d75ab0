from io import StringIO

import pytest
from rich.console import Console

from facemargin.tables import Table


@pytest.mark.parametrize("columns", [40, 80])
def test_nothing_is_cut(columns):
    table = Table("a_long_heading_of_one_word", "another_heading", title="t")
    table.add_column("third_heading_of_many", justify="right")
    cells = ["a_name_without_any_space_in_it_at_all", "0.123456789012345678", "ir_se_101_and_more"]
    table.add_row(*cells)
    out = StringIO()
    Console(file=out, width=columns).print(table)
    drawn = out.getvalue()
    assert "…" not in drawn and max(map(len, drawn.splitlines())) <= columns
    for number, text in enumerate([*cells, "a_long_heading_of_one_word", "another_heading", "third_heading_of_many"]):
        column = "".join(
            line.replace("┃", "│").split("│")[1 + number % 3].strip() for line in drawn.splitlines() if line[0] in "│┃"
        )
        assert text in column
