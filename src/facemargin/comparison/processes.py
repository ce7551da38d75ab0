"""The runs of a comparison, each in a process of its own and some at the same time."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from facemargin.comparison.run import ComparisonRun, train_and_score
from facemargin.errors import FacemarginError
from facemargin.training.interrupt import interruptible
from facemargin.training.run_folder import RunFolder

if TYPE_CHECKING:
    from multiprocessing.connection import _ConnectionBase  # its kind depends on the system

LOG_FILE = "log.txt"

_FAILED, _INTERRUPTED = 1, 130
_SECONDS_BETWEEN_LOOKS = 0.5
# The time left is estimated from the runs of so many seconds; a run may take hours.
_SPEED_PERIOD = 7 * 24 * 3600.0


@dataclass(frozen=True)
class _Started:
    """A run under way; `message` receives why it failed, if it can say so."""

    run: ComparisonRun
    process: SpawnProcess
    message: "_ConnectionBase[object, str]"
    since: float

    def __str__(self) -> str:
        return f"{self.run}{_epoch(RunFolder(self.run.folder).metrics)}"

    def failure(self) -> str | None:
        """Why it failed, None where it did not; to be asked once, after its process has ended."""
        if self.process.exitcode == 0:
            return None
        try:
            if self.message.poll():
                return self.message.recv()
        except EOFError:
            pass  # it ended before it could say anything
        log = Path(*self.run.folder.parts[-2:]) / LOG_FILE
        return f"its process ended with exit code {self.process.exitcode}; see {log}"


def complete_runs(runs: Sequence[ComparisonRun], at_once: int, console: Console) -> dict[Path, str]:
    """Complete every run, `at_once` of them at a time; returns why runs failed, by their folder.

    A run that fails does not stop the others. What a run says goes to log.txt in its folder. SIGINT or SIGTERM lets
    those under way write a checkpoint, then raises KeyboardInterrupt; a second one stops them at once.
    """
    waiting, started, failures = list(runs), list[_Started](), dict[Path, str]()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(
        *columns,
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        speed_estimate_period=_SPEED_PERIOD,
    )
    try:
        with interruptible() as interruption, bar:
            task = bar.add_task("", total=len(runs))
            bar.advance(task, 0)  # the moment that rates are measured from
            while waiting or started:
                while waiting and len(started) < at_once:
                    started.append(_start(waiting.pop(0)))
                bar.update(task, description="; ".join(map(str, started)))
                wait([one.process.sentinel for one in started], _SECONDS_BETWEEN_LOOKS)
                if interruption.requested:
                    _stop(started)
                    console.print("stopped; the same command continues from the last checkpoints", highlight=False)
                    raise KeyboardInterrupt
                for one in [one for one in started if not one.process.is_alive()]:
                    started.remove(one)
                    failure = one.failure()
                    if failure is not None:
                        failures[one.run.folder] = failure
                    bar.advance(task)
                    outcome = f"{time.monotonic() - one.since:.0f} s" if failure is None else f"failed: {failure}"
                    done = len(runs) - len(waiting) - len(started)
                    console.print(f"{done}/{len(runs)}  {one.run}: {outcome}", highlight=False, markup=False)
    finally:
        for one in started:
            one.process.kill()
            one.process.join()
    return failures


def _start(run: ComparisonRun) -> _Started:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(run, sender))
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: see _work
    process.start()
    signal.signal(signal.SIGINT, handler)
    sender.close()
    return _Started(run, process, receiver, time.monotonic())


def _stop(started: Sequence[_Started]) -> None:
    """Ask each process to write a checkpoint and leave, and wait until they have."""
    for one in started:
        # On Windows it would end them at once; there the Ctrl-C that reached this process has reached them, too.
        if sys.platform != "win32":
            one.process.terminate()
    for one in started:
        one.process.join()


def _epoch(metrics: Path) -> str:
    """Where the training is, from the end of its metrics.csv."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    step, _, rest = lines[-1].partition(",") if len(lines) > 1 else ("", "", "")
    return f" (epoch {rest.partition(',')[0]:.4})" if step else ""


def _work(run: ComparisonRun, message: "_ConnectionBase[str, object]") -> None:
    """What the process of a run does."""
    # Ctrl-C in a terminal is for the first process alone, which asks the others to leave. They ignore it until they
    # are here, in a group that it does not reach.
    if sys.platform != "win32":  # which has no groups: there Ctrl-C reaches every process
        os.setpgrp()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _write_to_log(run.folder)
    torch.set_num_threads(run.threads)
    cv2.setNumThreads(run.threads)
    console = Console(soft_wrap=True)
    try:
        finished = train_and_score(run, console)
    except (FacemarginError, OSError) as error:
        console.print(f"failed: {error}", highlight=False, markup=False)
        message.send(str(error))
        sys.exit(_FAILED)
    if not finished:
        sys.exit(_INTERRUPTED)


def _leave_with_parent() -> None:
    """End this process when the first one is gone, however it went: nobody would read what it finds."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(_FAILED)


def _write_to_log(folder: Path) -> None:
    """Append what this process prints to log.txt in `folder`, tracebacks included."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
