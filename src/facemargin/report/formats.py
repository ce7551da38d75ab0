"""Writes a report in several formats, with its tables and figures as files of their own.

report.html                        the page, in the folder of the run or evaluation itself
report/report.md, report.pdf       the whole report
report/article.tex                 the same for LaTeX, of which pdflatex makes article.pdf
report/tables/NAME.md, .tex, .csv  every table
report/figures/NAME.svg, .pdf      every figure; .csv: the points that it draws, if it has curves
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from facemargin.errors import ConfigError
from facemargin.evaluation import Bootstrap
from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP
from facemargin.files.atomic import write_text_atomically
from facemargin.files.listing import entries
from facemargin.report.blocks import FigureBlock, TableBlock
from facemargin.report.browser import find_browser, print_to_pdf
from facemargin.report.content import load_run
from facemargin.report.document import Document, report_document
from facemargin.report.figure_files import figure_csv, write_figure_pdf, write_figure_svg
from facemargin.report.latex import latex_table, report_latex
from facemargin.report.markdown import markdown_table, report_markdown
from facemargin.report.page import REPORT_FILE, report_html
from facemargin.report.table_files import table_csv

Format = Literal["html", "md", "tex", "csv", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)

REPORT_FOLDER = "report"
TABLES, FIGURES = "tables", "figures"

_TABLE_TEXT: dict[Format, Callable[[TableBlock], str]] = {
    "md": lambda block: f"{markdown_table(block)}\n",
    "tex": latex_table,
    "csv": table_csv,
}

NO_BROWSER = (
    "report.pdf is not written, because it needs Chromium, Chrome or Edge, and none was found. The figures are there "
    "as PDF all the same. For the whole report, open report.html in any browser and print it, or write it with "
    "--format tex and run pdflatex article.tex in report/"
)


@dataclass
class WrittenReport:
    """The files that were written, those of them that existed before, files of an earlier report that this one does not
    have, and why anything is missing (empty if nothing is)."""

    written: list[Path] = field(default_factory=list)
    replaced: list[Path] = field(default_factory=list)
    left_over: list[Path] = field(default_factory=list)
    missing: str = ""


def parse_formats(text: str) -> list[Format]:
    """ "html,md" as a list. Raises ConfigError, which names the known formats, for others."""
    given = [name.strip().lower() for name in text.split(",") if name.strip()]
    known = ", ".join(FORMATS)
    if not given:
        raise ConfigError(f"--format is empty, expected one or more of {known}, separated by commas")
    if unknown := [name for name in given if name not in FORMATS]:
        raise ConfigError(f"--format has {unknown[0]!r}, expected one or more of {known}, separated by commas")
    return [name for name in FORMATS if name in given]


def write_formats(
    folder: Path,
    formats: Sequence[Format],
    bootstrap: Bootstrap | None = DEFAULT_BOOTSTRAP,
    audit: Path | None = None,
) -> WrittenReport:
    """Write the report of the run or evaluation in `folder`. With any format but html, every figure is written too.
    `audit`: see `load_run`.
    Raises the errors of `load_run` and `report_document`, and OutputError for a file that cannot be written."""
    document = report_document(load_run(folder, audit), bootstrap)
    done = WrittenReport()
    files = list(_files(document, folder, formats))
    if "pdf" in formats:
        browser = find_browser()
        if browser is None:
            done.missing = NO_BROWSER
        else:
            html = report_html(document)
            files.append((folder / REPORT_FOLDER / "report.pdf", lambda path: print_to_pdf(browser, html, path)))
    for path, write in files:
        if path.exists():
            done.replaced.append(path)
        write(path)
        done.written.append(path)
    done.left_over = _left_over(done.written)
    return done


def _files(
    document: Document, folder: Path, formats: Sequence[Format]
) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    """The path of every file, and the function that writes it."""
    place = folder / REPORT_FOLDER
    if "html" in formats:
        yield folder / REPORT_FILE, _text_writer(report_html(document))
    if "md" in formats:
        yield place / "report.md", _text_writer(report_markdown(document))
    if "tex" in formats:
        yield place / "article.tex", _text_writer(report_latex(document))
    for stem, block in _named(document):
        if isinstance(block, TableBlock):
            for name in formats:
                if name in _TABLE_TEXT:
                    yield place / TABLES / f"{stem}.{name}", _text_writer(_TABLE_TEXT[name](block))
        elif set(formats) != {"html"}:
            yield from _figure_files(block, place / FIGURES, stem, "csv" in formats)


def _figure_files(
    block: FigureBlock, place: Path, stem: str, points: bool
) -> Iterator[tuple[Path, Callable[[Path], object]]]:
    yield place / f"{stem}.svg", lambda path: write_figure_svg(block, path)
    yield place / f"{stem}.pdf", lambda path: write_figure_pdf(block.figure, path)
    if points and block.data:  # squares of colour have theirs in a table
        yield place / f"{stem}.csv", _text_writer(figure_csv(block))


def _text_writer(text: str) -> Callable[[Path], None]:
    return lambda path: write_text_atomically(path, text)


def _named(document: Document) -> Iterator[tuple[str, TableBlock | FigureBlock]]:
    """Every table and figure with the name of its file."""
    for section in document.sections:
        blocks: list[TableBlock | FigureBlock] = [*section.tables(), *section.figures()]
        for block in blocks:
            yield section.file_stem(block), block


def _left_over(written: Sequence[Path]) -> list[Path]:
    """Tables and figures of an earlier report, in the formats that were written."""
    kinds = dict.fromkeys((path.parent, path.suffix) for path in written if path.parent.name in (TABLES, FIGURES))
    return [
        path for folder, suffix in kinds for path in entries(folder) if path.suffix == suffix and path not in written
    ]
