"""The stopwatch: a section's own seconds, nested, switched and left by an error."""

import time

import pytest
import torch

from facemargin.timing import Stopwatch, section, switch_section, timed

CPU = torch.device("cpu")


def test_a_section_counts_its_own_time_without_those_inside_it():
    stopwatch = Stopwatch(CPU)
    started = time.perf_counter()
    with timed(stopwatch):
        time.sleep(0.01)
        with section("outer"):
            time.sleep(0.02)
            with section("inner"):
                time.sleep(0.03)
            time.sleep(0.02)
        with section("inner"):
            time.sleep(0.03)
    whole = time.perf_counter() - started
    assert set(stopwatch.seconds) == {"outer", "inner", "other"}
    assert stopwatch.seconds["outer"] >= 0.04 and stopwatch.seconds["inner"] >= 0.06
    assert stopwatch.seconds["other"] >= 0.01
    assert sum(stopwatch.seconds.values()) == pytest.approx(whole, abs=2e-3)


def test_a_switch_ends_the_present_section_and_not_the_one_around_it():
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch), section("around"):
        with section("first"):
            time.sleep(0.01)
            switch_section("second")
            time.sleep(0.02)
        time.sleep(0.03)
    assert stopwatch.seconds["first"] >= 0.01 and stopwatch.seconds["second"] >= 0.02
    assert stopwatch.seconds["around"] >= 0.03


def test_an_error_closes_its_sections():
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        with pytest.raises(ValueError), section("failing"):
            raise ValueError
        time.sleep(0.02)
    assert stopwatch.seconds["failing"] < 0.01 and stopwatch.seconds["other"] >= 0.02


def test_without_a_stopwatch_nothing_is_counted():
    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        pass
    before = dict(stopwatch.seconds)
    with section("later"):
        switch_section("too")
    assert stopwatch.seconds == before


def test_a_section_may_be_a_decorator_used_again_and_again():
    @section("called")
    def work() -> None:
        time.sleep(0.005)

    stopwatch = Stopwatch(CPU)
    with timed(stopwatch):
        work()
        work()
    assert stopwatch.seconds["called"] >= 0.01
