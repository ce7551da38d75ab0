"""The blocks from which the sections of a report are built. Every format writes the same blocks, so that a section is
written once; what a format cannot show, it counts and names."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby

from matplotlib.figure import Figure

from facemargin.report.decision_gallery import DecisionGallery
from facemargin.report.figure_data import Curve, drawn_curves
from facemargin.report.gallery import FaceGallery
from facemargin.report.reconstruction_gallery import ReconstructionGallery


@dataclass(frozen=True)
class Cell:
    """A number as text, its interval as text (empty if there is none), and whether it is the best of all rows.
    `number` and `span` are the same in full precision, as .csv files have them; None where the text is no number.
    `heat`: the strength of a tint behind it, from 0 to 1."""

    value: str
    interval: str = ""
    best: bool = False
    number: float | None = None
    span: tuple[float, float] | None = None
    heat: float = 0.0


@dataclass(frozen=True)
class Table:
    """The headings of the number columns, and the name and cells of each system. `more`: columns of numbers by heading
    that .csv files have in place of the columns whose cells are several numbers in one text."""

    headings: list[str]
    rows: list[tuple[str, list[Cell]]]
    more: dict[str, list[float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, `strong` at its end."""

    text: str
    strong: str = ""


@dataclass(frozen=True)
class Notes:
    """A list of remarks."""

    items: Sequence[str]


@dataclass(frozen=True)
class TableBlock:
    """A table with its caption; `rows` is the heading of the first column. `name` is unique in the report and consists
    of letters, digits and dashes."""

    name: str
    caption: str
    table: Table
    rows: str = "System"


@dataclass(frozen=True)
class FigureBlock:
    """A figure with its title and a caption that says what it shows and how to read it. `name` is unique in the report
    and consists of letters, digits and dashes."""

    name: str
    title: str
    figure: Figure
    caption: str

    @cached_property
    def data(self) -> list[Curve]:
        """The numbers behind the figure."""
        return drawn_curves(self.figure)


@dataclass(frozen=True)
class FacesBlock:
    """Faces of a gallery under a heading, all of them if `chosen` is None."""

    heading: str
    gallery: FaceGallery
    chosen: Sequence[int] | None = None

    def __len__(self) -> int:
        return len(self.gallery.captions) if self.chosen is None else len(self.chosen)


@dataclass(frozen=True)
class DecisionsBlock:
    """Pictures of pairs with the decisions on them."""

    gallery: DecisionGallery


@dataclass(frozen=True)
class ReconstructionsBlock:
    """Pictures of reconstructed faces."""

    gallery: ReconstructionGallery


@dataclass(frozen=True)
class Credit:
    """The line that the owner of pictures above it requires."""

    text: str


@dataclass(frozen=True)
class Code:
    """Text shown as it is, such as a recipe."""

    text: str


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    items: Sequence[tuple[str, str]]


Block = (
    Heading
    | Paragraph
    | Notes
    | TableBlock
    | FigureBlock
    | FacesBlock
    | DecisionsBlock
    | ReconstructionsBlock
    | Credit
    | Code
    | Facts
)


@dataclass(frozen=True)
class Section:
    """A section of a report: `anchor` is its place in the page, `menu` its name in the contents.

    The names of its blocks begin with `prefix`, which numbers the section; files of its tables and figures begin with
    `stem` instead, which stays the same when sections are added.
    """

    anchor: str
    title: str
    menu: str
    blocks: list[Block] = field(default_factory=list)
    prefix: str = ""
    stem: str = ""

    def tables(self) -> list[TableBlock]:
        return [block for block in self.blocks if isinstance(block, TableBlock)]

    def figures(self) -> list[FigureBlock]:
        return [block for block in self.blocks if isinstance(block, FigureBlock)]

    def file_stem(self, block: TableBlock | FigureBlock) -> str:
        """The name of the file of one of its blocks, without its suffix."""
        return f"{self.stem}{block.name.removeprefix(self.prefix)}" if self.stem else block.name


def grouped(blocks: Iterable[Block]) -> Iterator[tuple[str, list[Block]]]:
    """Neighbouring blocks of one kind, with its name: figures that follow each other share a grid."""
    for kind, neighbours in groupby(blocks, type):
        if kind is FigureBlock:
            yield kind.__name__, list(neighbours)
        else:
            for block in neighbours:
                yield kind.__name__, [block]
