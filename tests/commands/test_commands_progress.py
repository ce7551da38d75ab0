import io

from rich.console import Console

from facemargin.commands._progress import embedding_progress


def test_a_terminal_shows_images_done():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with embedding_progress(console, "faces {x} [/y]") as report:
        report(3, 10)
        report(10, 10)
    drawn = console.file.getvalue()
    assert "embedding faces {x} [/y]" in drawn and "10/10" in drawn


def test_elsewhere_nothing_is_drawn():
    console = Console(file=io.StringIO())
    with embedding_progress(console, "faces") as report:
        report(1, 2)
    assert console.file.getvalue().strip() == ""
