"""The report as Markdown, and its tables alone."""

import re
from collections.abc import Iterator
from typing import assert_never

from facemargin.report.blocks import (
    Block,
    Cell,
    Code,
    Credit,
    DecisionsBlock,
    FacesBlock,
    Facts,
    FigureBlock,
    Heading,
    Notes,
    Paragraph,
    ReconstructionsBlock,
    Section,
    TableBlock,
)
from facemargin.report.document import Document
from facemargin.report.pictures import count_pictures, pictures_left_out


def report_markdown(document: Document) -> str:
    """The whole report; it shows the figures of the folder `figures` beside it."""
    parts = [f"# {_text(document.title)}", _text(document.subtitle), *map(_text, document.summary)]
    for section in document.sections:
        parts.append(f"## {_text(section.title)}")
        for block in section.blocks:
            parts += _block(block, section)
    if left_out := pictures_left_out(document):
        parts.append(f"*{_text(left_out)}*")
    return "\n\n".join(part for part in parts if part) + "\n"


def markdown_table(block: TableBlock) -> str:
    """A table; the best number of a column is bold, and intervals follow in brackets."""
    lines = [[block.rows, *block.table.headings], ["---", *("---:" for _ in block.table.headings)]]
    lines[0] = list(map(_text, lines[0]))
    lines += [[_text(name), *map(_cell, cells)] for name, cells in block.table.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _block(block: Block, section: Section) -> Iterator[str]:
    match block:
        case Heading(text):
            yield f"### {_text(text)}"
        case Paragraph(text, strong):
            yield " ".join([_text(text), *([f"**{_text(strong)}**"] if strong else [])]).strip()
        case Notes(items):
            yield "\n".join(f"- {_text(item)}" for item in items)
        case TableBlock():
            yield f"{_text(block.caption)}:"
            yield markdown_table(block)
        case FigureBlock():
            yield f"![{_text(block.title)}](figures/{section.file_stem(block)}.svg)"
            yield f"**{_text(block.title)}.** {_text(block.caption)}"
        case FacesBlock() | DecisionsBlock() | ReconstructionsBlock():
            yield f"*({_text(count_pictures(block))})*"
        case Credit(text):
            yield _text(text)
        case Code(text):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            yield f"{fence}\n{text.rstrip()}\n{fence}"
        case Facts(items):
            yield "\n".join(f"- {_text(name)}: {_text(value)}" for name, value in items)
        case _:
            assert_never(block)


def _cell(cell: Cell) -> str:
    value = f"**{_text(cell.value)}**" if cell.best else _text(cell.value)
    return f"{value} ({_text(cell.interval)})" if cell.interval else value


def _text(text: str) -> str:
    """`text` on one line, in which nothing is taken for markup."""
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", text.replace("\n", " "))
    return escaped.replace("&", "&amp;") if re.search(r"&#?\w+;", escaped) else escaped
