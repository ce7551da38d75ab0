"""Tables on a terminal."""

from typing import Any

import rich.table


class Table(rich.table.Table):
    """A table that breaks text that is too wide for the terminal into lines, where rich would cut it off."""

    def __init__(self, *headers: Any, **settings: Any) -> None:
        super().__init__(*headers, **settings)
        for column in self.columns:
            column.overflow = "fold"

    def add_column(self, *arguments: Any, **settings: Any) -> None:
        super().add_column(*arguments, **settings)
        self.columns[-1].overflow = "fold"
