"""The report as LaTeX, and its tables alone, which need the package booktabs."""

import textwrap
from collections.abc import Iterator, Sequence
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
    grouped,
)
from facemargin.report.document import Document
from facemargin.report.latex_text import latex_text
from facemargin.report.pictures import count_pictures, pictures_left_out

_HEADING_LETTERS = 14

_PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[a4paper, margin=2cm]{geometry}
\usepackage{booktabs, graphicx}
\setlength{\parindent}{0pt}
\setlength{\parskip}{.6em}
\sloppy
\renewcommand{\labelitemi}{$\bullet$}
% a table at its own size, or at that of the page if it is wider
\newsavebox{\fittedbox}
\newcommand{\fitted}[1]{\sbox{\fittedbox}{\small\input{#1}}%
  \ifdim\wd\fittedbox>\linewidth\resizebox{\linewidth}{!}{\usebox{\fittedbox}}\else\usebox{\fittedbox}\fi}
\begin{document}"""


def report_latex(document: Document) -> str:
    """The whole report; it takes tables and figures from the folders `tables` and `figures` beside it."""
    parts = [_PREAMBLE, rf"{{\LARGE {latex_text(document.title)}\par}}", latex_text(document.subtitle)]
    parts += map(latex_text, document.summary)
    for section in document.sections:
        parts.append(rf"\section{{{latex_text(section.title)}}}")
        for _, blocks in grouped(section.blocks):
            figures = [block for block in blocks if isinstance(block, FigureBlock)]
            parts += _figures(figures, section) if figures else _block(blocks[0], section)
    parts += [latex_text(pictures_left_out(document)), r"\end{document}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def latex_table(block: TableBlock) -> str:
    """A tabular in the style of booktabs; the best number of a column is bold, and intervals stand below theirs."""
    headings = " & ".join([latex_text(block.rows), *map(_heading, block.table.headings)])
    lines = [
        f"% {latex_text(block.caption)}",
        rf"\begin{{tabular}}{{l{'r' * len(block.table.headings)}}}",
        r"\toprule",
        rf"{headings} \\",
        r"\midrule",
    ]
    for name, cells in block.table.rows:
        # A bracket or star at the start of a row would be an option of the \\ before it.
        lines.append(rf"{{}}{' & '.join([latex_text(name), *map(_value, cells)])} \\")
        if any(cell.interval for cell in cells):
            lines.append(rf"{' & '.join(['', *map(_interval, cells)])} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _heading(text: str) -> str:
    """`text` in lines, so that the numbers decide how wide their column is."""
    lines = [latex_text(line) for line in textwrap.wrap(text, _HEADING_LETTERS, break_long_words=False)]
    stacked = r"\\".join(lines)
    return stacked if len(lines) < 2 else rf"\shortstack[r]{{{stacked}}}"


def _value(cell: Cell) -> str:
    return _bold(cell.value) if cell.best else latex_text(cell.value)


def _bold(text: str) -> str:
    return rf"\textbf{{{latex_text(text)}}}"


def _interval(cell: Cell) -> str:
    return rf"{{\footnotesize {latex_text(cell.interval)}}}" if cell.interval else ""


def _figures(blocks: Sequence[FigureBlock], section: Section) -> Iterator[str]:
    """Two figures a row."""
    drawn = [_figure(block, section) for block in blocks]
    for start in range(0, len(drawn), 2):
        yield "\n".join([r"\begin{figure}[!htbp]", *drawn[start : start + 2], r"\end{figure}"])


def _figure(block: FigureBlock, section: Section) -> str:
    stem = section.file_stem(block)
    return "\n".join(
        [
            r"\begin{minipage}[t]{.48\linewidth}",
            rf"\includegraphics[width=\linewidth]{{figures/{stem}.pdf}}",
            rf"\caption{{{latex_text(block.title)}. {latex_text(block.caption)}}}\label{{fig:{stem}}}",
            r"\end{minipage}\hfill",
        ]
    )


def _block(block: Block, section: Section) -> Iterator[str]:
    match block:
        case Heading(text):
            yield rf"\subsection*{{{latex_text(text)}}}"
        case Paragraph(text, strong):
            yield " ".join([latex_text(text), *([_bold(strong)] if strong else [])]).strip()
        case Notes(items):
            yield _listed(map(latex_text, items))
        case TableBlock():
            stem = section.file_stem(block)
            yield "\n".join(
                [
                    r"\begin{table}[!htbp]\centering",
                    rf"\caption{{{latex_text(block.caption)}}}\label{{tab:{stem}}}",
                    rf"\fitted{{tables/{stem}.tex}}",
                    r"\end{table}",
                ]
            )
        case FacesBlock() | DecisionsBlock() | ReconstructionsBlock():
            yield rf"\emph{{({latex_text(count_pictures(block))})}}"
        case Credit(text):
            yield latex_text(text)
        case Code(text):
            lines = [f"{{}}{latex_text(_indented(line))}\\strut" for line in text.rstrip().split("\n")]
            yield "{\\ttfamily\\footnotesize\\raggedright\n" + "\\\\\n".join(lines) + "\\par}"
        case Facts(items):
            yield _listed(f"{latex_text(name)}: {latex_text(value)}" for name, value in items)
        case FigureBlock():
            yield _figure(block, section)
        case _:
            assert_never(block)


def _indented(line: str) -> str:
    """`line` with its indentation as spaces that are printed."""
    text = line.lstrip(" ")
    return "\N{NO-BREAK SPACE}" * (len(line) - len(text)) + text


def _listed(items: Iterator[str]) -> str:
    return "\n".join([r"\begin{itemize}", *(rf"\item {{}}{item}" for item in items), r"\end{itemize}"])
