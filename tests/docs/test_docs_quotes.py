"""What the documents quote of the code is in the code."""

import textwrap

import pytest

from tests.docs.docs_pages import ALL_BLOCKS, ROOT

QUOTES = [block for block in ALL_BLOCKS if block.source is not None]
LEFT_OUT = "# …"


def lines_of(text: str) -> list[str]:
    """Those that are not blank: how many of these stand between others is the formatter's choice."""
    return [line for line in text.splitlines() if line.strip()]


def pieces_of(quote: str) -> list[list[str]]:
    """The runs of lines between those that stand for what is left out."""
    pieces: list[list[str]] = [[]]
    for line in lines_of(textwrap.dedent(quote)):
        if line.strip() == LEFT_OUT:
            pieces.append([])
        else:
            pieces[-1].append(line)
    return pieces


def dedented(lines: list[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).splitlines()


def missing_piece(quote: str, source: str) -> list[str] | None:
    """The first piece of a quote that does not follow, line by line, in the source after those before it."""
    lines, start = lines_of(source), 0
    for piece in pieces_of(quote):
        length = len(piece)
        places = (
            n for n in range(start, len(lines) - length + 1) if dedented(lines[n : n + length]) == dedented(piece)
        )
        place = next(places, None)
        if place is None:
            return piece
        start = place + length
    return None


@pytest.mark.parametrize("block", QUOTES, ids=lambda block: block.place)
def test_a_quote_is_what_the_file_says(block):
    piece = missing_piece(block.code, (ROOT / block.source).read_text(encoding="utf-8"))
    assert piece is None, f"{block.place}: {block.source} does not say:\n" + "\n".join(piece)


def test_the_page_of_the_training_step_quotes_its_four_files():
    page = [block for block in QUOTES if block.page.name == "training_step.md"]
    assert {block.source.rpartition("/")[2] for block in page} == {"recipe.py", "state.py", "loss_terms.py", "step.py"}
    assert all(block.code.count("\n") <= 12 for block in page)


SOURCE = "def f():\n    a = 1\n    if a:\n        b = 2\n    return b\n"


@pytest.mark.parametrize("quote", ["a = 1\nif a:\n    b = 2\n", "a = 1\n# …\n    b = 2\n", "  return b"])
def test_a_faithful_quote_passes(quote):
    assert missing_piece(quote, SOURCE) is None


@pytest.mark.parametrize(
    "quote", ["a = 2", "a = 1\nb = 2\n", "return b\n# …\na = 1\n", "if a:\nb = 2\n", "a = 1\n# …\na = 1"]
)
def test_another_text_order_or_indentation_is_found(quote):
    assert missing_piece(quote, SOURCE) is not None
