"""The stopwatch: a section's own seconds, nested, switched and left by an error."""

from types import SimpleNamespace

import pytest
import torch

from facemargin import timing
from facemargin.timing import Stopwatch, section, switch_section, timed

CPU = torch.device("cpu")


@pytest.fixture
def work(monkeypatch):
    """`work(seconds)` on a clock that nothing else moves."""
    now = SimpleNamespace(seconds=100)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: now.seconds))

    def pass_seconds(seconds):
        now.seconds += seconds

    return pass_seconds


def test_a_section_counts_its_own_time_without_those_inside_it(work):
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        work(1)
        with section("outer"):
            work(2)
            with section("inner"):
                work(4)
            work(8)
        with section("inner"):
            work(16)
    assert stopwatch.seconds == {"outer": 10, "inner": 20, "other": 1}


def test_a_switch_ends_the_present_section_and_not_the_one_around_it(work):
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch), section("around"):
        with section("first"):
            work(1)
            switch_section("second")
            work(2)
        work(4)
    assert stopwatch.seconds == {"first": 1, "second": 2, "around": 4, "other": 0}


def test_an_error_closes_its_sections(work):
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        with pytest.raises(ValueError), section("failing"):
            work(1)
            raise ValueError
        work(2)
    assert stopwatch.seconds == {"failing": 1, "other": 2}


def test_without_a_stopwatch_nothing_is_counted(work):
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        work(1)
    with section("later"):
        work(2)
        switch_section("too")
    assert stopwatch.seconds == {"other": 1}


def test_a_section_may_be_a_decorator_used_again_and_again(work):
    called = section("called")(lambda: work(1))
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        called()
        called()
    assert stopwatch.seconds["called"] == 2


def test_the_clock_is_a_real_one():
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        pass
    assert stopwatch.seconds["other"] > 0


class TwoStreams:
    """A device whose kernels take their seconds on the clock when somebody waits for their stream: the backward pass
    on the current stream, a sum over the processes on one of its own."""

    def __init__(self, work, monkeypatch):
        self.work, self.backward, self.sums = work, 0, 0
        monkeypatch.setattr(torch.cuda, "synchronize", self.wait_for_all)
        current = SimpleNamespace(synchronize=self.wait_for_current)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)

    def wait_for_current(self):
        self.work(self.backward)
        self.backward = 0

    def wait_for_all(self, device):
        self.wait_for_current()
        self.work(self.sums)
        self.sums = 0


def test_a_switch_leaves_the_work_of_other_streams_to_the_next_section(work, monkeypatch):
    device = TwoStreams(work, monkeypatch)
    stopwatch = Stopwatch(torch.device("cuda"))
    with timed(stopwatch), section("backbone"):
        device.backward, device.sums = 4, 2
        switch_section("communication")
    assert stopwatch.seconds == {"backbone": 4, "communication": 2, "other": 0}
