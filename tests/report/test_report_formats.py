"""The report for a paper: every table and figure as a file of its own, in every format, with the same numbers."""

import csv
import re
import shutil
import subprocess
import sys
from functools import partial
from xml.etree import ElementTree

import pytest

from facemargin.commands import report
from facemargin.errors import ConfigError, OutputError
from facemargin.report import formats, load_run
from facemargin.report.browser import find_browser, print_to_pdf
from facemargin.report.document import report_document
from facemargin.report.formats import FORMATS, parse_formats, write_formats
from facemargin.report.latex_text import latex_text
from tests.report.report_runs import FEW_RESAMPLES, decisions, gallery, pair_scores

HOSTILE = r"a|b_*c* & 50% $x$ {\input{x}} #1 ~^ <b> `q` [1]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two systems on a data set, one with a name full of markup; pictures; a recipe."""
    folder = tmp_path_factory.mktemp("paper") / "mine"
    place = folder / "evaluation" / "people"
    place.mkdir(parents=True)
    pair_scores("facemargin", quality=True).save(place / "facemargin.npz")
    pair_scores(HOSTILE, separation=1.5, seed=2).save(place / "other.npz")
    gallery(6).save(place / "faces.npz")
    decisions().save(place / "decisions.npz")
    (folder / "recipe.yaml").write_text("head:\n  name: funface\n\n  # ```%\n")
    return folder


@pytest.fixture(scope="module")
def document(folder):
    return report_document(load_run(folder), FEW_RESAMPLES)


@pytest.fixture(scope="module")
def place(folder):
    """What is written where there is no browser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "find_browser", lambda: None)
        done = write_formats(folder, FORMATS, FEW_RESAMPLES)
    assert "report.pdf is not written" in done.missing
    assert "as PDF all the same" in done.missing
    assert done.replaced == done.left_over == []
    assert len(done.written) == 1 + 2 + 4 * 3 + 4 * 3
    assert all(path.stat().st_size for path in done.written)
    return folder / "report"


def tables(document):
    return {section.file_stem(block): block for section in document.sections for block in section.tables()}


def test_files_have_lasting_names(place):
    kinds = ["verification", "differences", "discarded", "decisions"]
    names = {f"people-{kind}.{suffix}" for kind in kinds for suffix in ("md", "tex", "csv")}
    assert {path.name for path in (place / "tables").iterdir()} == names
    names = {
        f"people-{kind}.{suffix}" for kind in ("roc", "det", "scores", "discard") for suffix in ("svg", "pdf", "csv")
    }
    assert {path.name for path in (place / "figures").iterdir()} == names
    assert {path.name for path in place.iterdir()} == {"report.md", "article.tex", "tables", "figures"}


def test_csv_tables_have_all_digits(place, document):
    for stem, block in tables(document).items():
        rows = list(csv.DictReader((place / "tables" / f"{stem}.csv").read_text(encoding="utf-8").splitlines()))
        assert len(rows) == len(block.table.rows)
        for row, (name, cells) in zip(rows, block.table.rows, strict=True):
            assert row[block.rows] == name.replace("\u00a0", " ")
            for heading, cell in zip(block.table.headings, cells, strict=True):
                heading = heading.replace("\u00a0", " ")
                if cell.number is not None:
                    assert row[heading] == repr(cell.number)
                if cell.span:
                    assert (row[f"{heading}, from"], row[f"{heading}, to"]) == tuple(map(repr, map(float, cell.span)))
    differences = (place / "tables" / "people-differences.csv").read_text(encoding="utf-8")
    assert differences.splitlines()[0].endswith(
        'FAR,"Std. error, unbiased","Impostor pairs, first","People, first","Impostor pairs, second","People, second"'
    )
    assert "(" not in differences.splitlines()[0].replace("p (Holm)", "")


def test_csv_figures_have_every_point_that_is_drawn(place, document):
    for section in document.sections:
        for block in section.figures():
            path = place / "figures" / f"{section.file_stem(block)}.csv"
            _, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines())
            drawn = [
                [curve.name, repr(float(x)), repr(float(y))]
                for curve in block.data
                for x, y in zip(curve.x_T, curve.y_T, strict=True)
            ]
            assert rows == drawn


def test_markdown_has_the_same_texts_as_the_page(place, document):
    for stem, block in tables(document).items():
        lines = (place / "tables" / f"{stem}.md").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 2 + len(block.table.rows)
        for line, (name, cells) in zip(lines[2:], block.table.rows, strict=True):
            parts = [re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\)\|", line)[1:-1]]
            assert parts[0].strip() == name
            for part, cell in zip(parts[1:], cells, strict=True):
                value = f"**{cell.value}**" if cell.best else cell.value
                assert part.strip() == (f"{value} ({cell.interval})" if cell.interval else value)
    page = (place / "report.md").read_text(encoding="utf-8")
    linked = re.findall(r"!\[[^\]]*\]\((.*?)\)", page)
    assert len(linked) == 4
    assert all((place / link).is_file() for link in linked)
    assert "Lowest quality: 3 pictures, not in this format" in page
    assert "Decisions: 6 pictures" in page
    assert "Pictures of faces are in report.html alone." in page
    assert "````\nhead:" in page


def arguments_of(text: str) -> str:
    """`text` without escaped signs and commands, so that what is left with a meaning can be counted."""
    return re.sub(r"\\(?:[a-zA-Z]+|.)", "", text)


def test_latex_tables_are_whole_and_plain(place, document):
    for stem, block in tables(document).items():
        text = (place / "tables" / f"{stem}.tex").read_text(encoding="ascii")
        columns = re.search(r"\\begin\{tabular\}\{(l r*)\}".replace(" ", ""), text)[1]
        assert len(columns) == 1 + len(block.table.headings)
        rows = [line for line in text.splitlines() if line.endswith(r"\\")]
        assert len(rows) >= 1 + len(block.table.rows)
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(columns) - 1, row
        body = arguments_of(text.split("\n", 1)[1])
        assert body.count("{") == body.count("}")
        assert not set(body) & set("#%_^")
        for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"):
            assert text.count(rule) == 1
    assert latex_text(HOSTILE) in (place / "tables" / "people-verification.tex").read_text()


def test_latex_text_is_ascii_in_which_nothing_is_a_command():
    assert latex_text(r"\x{}") == r"\textbackslash{}x\{\}"
    assert latex_text("Müller −1 ± 2 – ρ Łódź") == r"M\"{u}ller $-$1 $\pm$ 2 -- $\rho$ \L{}\'{o}d\'{z}"
    assert latex_text("--name ''a''") == "-{}-name '{}'a'{}'"
    assert latex_text("中 a") == "[U+4E2D] a"


def test_figures_are_text_and_truetype(place):
    for path in (place / "figures").glob("*.svg"):
        texts = {element.text for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")}
        assert "facemargin" in texts or "FNMR of the pairs that are left" in texts, path
        assert "var(" not in path.read_text(encoding="utf-8")
    roc = ElementTree.parse(place / "figures" / "people-roc.svg").getroot()
    assert [child.tag.split("}")[1] for child in roc][:2] == ["title", "desc"]
    assert "true accept rate (TAR)" in {e.text for e in roc.iter("{http://www.w3.org/2000/svg}text")}
    for path in (place / "figures").glob("*.pdf"):
        data = path.read_bytes()
        assert b"/FontFile2" in data and b"/Type3" not in data
        assert b"CreationDate" not in data


@pytest.fixture
def quick(monkeypatch):
    """The command with few resamples."""
    monkeypatch.setattr(report, "write_formats", partial(write_formats, bootstrap=FEW_RESAMPLES))


def test_nothing_is_replaced_without_a_word(folder, place, quick, capfd):
    (place / "tables" / "last-year.csv").write_text("x")
    (place / "tables" / "mine.md").write_text("x")
    assert report.main([str(folder), "--format", "csv"]) == 0
    said = capfd.readouterr()
    assert f"tables: 4 .csv files in {place / 'tables'}" in said.out
    assert "12 files" not in said.out
    assert "16 files of an earlier report replaced" in said.err
    assert "left as they were: last-year.csv" in said.err
    assert "mine.md" not in said.err
    for name in ("last-year.csv", "mine.md"):
        assert (place / "tables" / name).read_text() == "x"
        (place / "tables" / name).unlink()


def test_without_a_browser_the_command_says_so_and_fails(folder, place, quick, monkeypatch, capfd):
    monkeypatch.setattr(formats, "find_browser", lambda: None)
    assert report.main([str(folder), "--format=pdf"]) == 1
    assert "needs Chromium, Chrome or Edge" in capfd.readouterr().err


@pytest.mark.parametrize(("text", "said"), [("docx", "'docx'"), ("html,mdx", "'mdx'"), (" , ", "is empty")])
def test_unknown_formats_are_refused_with_the_known_ones(text, said):
    with pytest.raises(ConfigError, match=rf"{said}.*html, md, tex, csv, pdf"):
        parse_formats(text)
    assert parse_formats("PDF, html,pdf") == ["html", "pdf"]


@pytest.mark.slow
@pytest.mark.skipif(find_browser() is None, reason="needs a browser that prints")
def test_the_page_is_printed(folder, tmp_path):
    print_to_pdf(find_browser(), (folder / "report.html").read_text(encoding="utf-8"), tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_a_browser_that_fails_is_named(tmp_path):
    with pytest.raises(OutputError, match=r"report\.pdf: .*python.* failed: (?s:.*)option"):
        print_to_pdf(sys.executable, "<p>", tmp_path / "report.pdf")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
def test_latex_compiles(place, tmp_path):
    shutil.copytree(place, tmp_path / "report")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "article.tex"]
    done = subprocess.run(command, cwd=tmp_path / "report", capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
