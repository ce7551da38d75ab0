"""The blocks from which the sections of a report are built."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its title and a caption that says what it shows and how to read it. `name` is unique in the report
    and consists of letters, digits and dashes."""

    name: str
    title: str
    figure: Figure
    caption: str
