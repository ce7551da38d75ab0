"""The watch over fuzzed readers sees what it is there to see."""

import os
import pickle
import random
import signal
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from facemargin.errors import DataError
from tests.fuzz import fuzzing
from tests.fuzz.fuzzing import Reader, fuzz, watch
from tests.fuzz.mutations import damaged


class Calls:
    def __reduce__(self):
        return (len, ("",))


def read_and(deed):
    """A reader that does something else with every file that is damaged."""

    def read(folder):
        if (folder / "a.txt").read_bytes() != b"whole\n":
            deed(folder / "a.txt")

    return Reader("a.txt", lambda folder: (folder / "a.txt").write_text("whole\n"), read)


def fill_memory(path):
    return bytes(b"x" * (300 << 20))


def ask_for_memory(path):
    try:
        return np.ones(1 << 40)
    except MemoryError as error:
        raise DataError(f"{path} is too large") from error


def refuse(message):
    def deed(path):
        raise DataError(message.format(path))

    return deed


DEEDS = {
    "ValueError: no error of facemargin's": lambda path: int("no error of facemargin's"),
    "RuntimeWarning": lambda path: warnings.warn("text", RuntimeWarning, stacklevel=1),
    "does not say which file": refuse("it is damaged"),
    "says too much": refuse("{} " + "line\n" * 1000),
    "MiB of memory": fill_memory,
    "asks for too much memory": ask_for_memory,
    "takes more than 0.3 s": lambda path: [None for _ in iter(int, 1)],
    "hangs": lambda path: time.sleep(60),
    r"the process died \(-11\)": lambda path: os.kill(os.getpid(), signal.SIGSEGV),
    "os.system": lambda path: os.system("true"),
    "pickle.find_class": lambda path: pickle.loads(pickle.dumps(Calls())),
    r"open .*elsewhere": lambda path: (path.parents[3] / "elsewhere").write_text("x"),
    "os.remove": lambda path: (path.parents[3] / "none").unlink(missing_ok=True),
    "exec": lambda path: exec(compile("1 + 1", "somewhere", "exec")),
    "files open": lambda path: LEAKED.extend(path.open() for _ in range(20)),
}
LEAKED = []


@pytest.mark.parametrize("expected", DEEDS)
def test_what_no_reader_may_do_is_seen(expected, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzzing, "SECONDS_AN_INPUT", 0.3)
    # Seconds of the clock: on a busy machine the others may take many of them.
    monkeypatch.setattr(fuzzing, "SECONDS_UNTIL_KILLED", 2 if expected == "hangs" else 120)
    outcome = watch(read_and(DEEDS[expected]), lambda _, place: (place / "a.txt").touch(), 1, tmp_path)
    assert len(outcome.failures) == 1
    with pytest.raises(AssertionError, match=expected):
        raise AssertionError(outcome.failures[0])


def test_what_readers_may_do_is_counted(tmp_path):
    outcome = fuzz(read_and(refuse("{}: it is damaged")), 40, tmp_path)
    assert not outcome.failures and outcome.refused > 20 and outcome.inputs == 40


def test_after_a_crash_the_others_are_read(tmp_path):
    crash = read_and(lambda path: path.read_bytes() or os.kill(os.getpid(), signal.SIGSEGV))
    outcome = watch(crash, lambda number, place: (place / "a.txt").write_text("x" * (number % 3)), 9, tmp_path)
    assert len(outcome.failures) == 3 and outcome.read == 6
    assert sorted(path.name for path in tmp_path.glob("failure_*")) == ["failure_0", "failure_3", "failure_6"]


def test_damage_is_a_function_of_the_seed():
    content = Path(__file__).read_bytes()
    first, second = ([damaged(content, random.Random(seed), [content], True) for seed in range(50)] for _ in range(2))
    assert first == second and len(set(first)) > 45 and max(map(len, first)) <= 1 << 22
