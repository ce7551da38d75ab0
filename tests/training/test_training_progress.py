import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from facemargin.training import progress as progress_module
from facemargin.training.progress import training_progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests move."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(progress_module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def plain_console():
    return Console(file=io.StringIO(), width=200)


def test_elsewhere_than_in_a_terminal_a_line_comes_now_and_then(clock):
    console = plain_console()
    with training_progress(console, first_step=10, last_step=60, steps_per_epoch=20) as progress:
        for step in range(11, 61):
            clock.seconds += 1
            progress.advance(step, images=8, loss=1 / step)
    lines = console.file.getvalue().splitlines()
    assert lines == [
        "step 26/60  epoch 2/3  loss 0.038  8 images/s  34 s left",
        "step 42/60  epoch 3/3  loss 0.024  8 images/s  18 s left",
        "step 58/60  epoch 3/3  loss 0.017  8 images/s  2 s left",
    ]


def test_a_short_run_prints_nothing(clock):
    console = plain_console()
    with training_progress(console, 0, 2, 1) as progress:
        for step in (1, 2):
            clock.seconds += 7
            progress.advance(step, 4, 0.5)
    assert console.file.getvalue() == ""


def test_the_rate_counts_the_images_since_the_start(clock):
    with training_progress(plain_console(), 0, 10, 5) as progress:
        assert progress.images_per_second == 0
        clock.seconds += 2
        progress.advance(1, 6, 1.0)
        clock.seconds += 2
        progress.advance(2, 2, 1.0)
        assert progress.images_per_second == pytest.approx(2.0)


def test_a_terminal_gets_a_bar_with_rate_and_time_left():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with training_progress(console, first_step=0, last_step=6, steps_per_epoch=3) as progress:
        for step in range(1, 7):
            progress.advance(step, 4, 0.25)
            progress.bar.refresh()
    drawn = console.file.getvalue()
    assert "epoch 1/2  loss 0.250" in drawn and "epoch 2/2" in drawn
    assert "images/s" in drawn and "ETA" in drawn and "━" in drawn
    assert progress.bar.finished


def test_a_bar_starts_where_a_resumed_run_does():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with training_progress(console, first_step=4, last_step=8, steps_per_epoch=4) as progress:
        assert progress.bar.tasks[0].completed == 4 and progress.bar.tasks[0].total == 8


def test_a_finished_run_has_nothing_to_show():
    console = plain_console()
    with training_progress(console, first_step=8, last_step=8, steps_per_epoch=4) as progress:
        assert progress.images_per_second == 0
    assert console.file.getvalue() == ""


def test_compiling_is_said_and_its_step_does_not_count_for_the_rate(clock):
    console = plain_console()
    with training_progress(console, 0, 10, 5, compiling=True) as progress:
        assert "first steps are slow" in console.file.getvalue()
        clock.seconds += 90
        progress.advance(1, 6, 1.0)
        assert progress.images_per_second == pytest.approx(6 / 90)  # all there is so far
        clock.seconds += 2
        progress.advance(2, 6, 1.0)
        assert progress.images_per_second == pytest.approx(3)
        clock.seconds += 14
        progress.advance(3, 42, 1.0)
    assert console.file.getvalue().splitlines()[1:] == ["step 3/10  epoch 1/2  loss 1.000  3 images/s  42 s left"]


def test_a_bar_says_that_the_networks_are_being_compiled():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with training_progress(console, 0, 8, 4, compiling=True) as progress:
        progress.bar.refresh()
    assert "the first steps are slow" in console.file.getvalue()
