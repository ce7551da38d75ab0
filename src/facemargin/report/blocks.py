"""The pieces that the sections of a report are made of."""

from dataclasses import dataclass

from matplotlib.figure import Figure


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its title and the caption that says what it shows and how to read it. `name` is unique in the
    report, of letters, digits and dashes."""

    name: str
    title: str
    figure: Figure
    caption: str
