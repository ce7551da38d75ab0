"""Executes the runs of a comparison, each in its own process and several at the same time."""

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
# The remaining time is estimated from the runs of the last this many seconds; a run may take hours.
_SPEED_PERIOD = 7 * 24 * 3600.0


@dataclass(frozen=True)
class _Started:
    """A run in progress. `message` receives the reason if it fails and can report one."""

    run: ComparisonRun
    process: SpawnProcess
    message: "_ConnectionBase[object, str]"
    since: float

    def __str__(self) -> str:
        return f"{self.run}{_epoch(RunFolder(self.run.folder).metrics)}"

    def failure(self) -> str | None:
        """The reason why the run failed, or None if it did not. Call it once, after the process has ended."""
        if self.process.exitcode == 0:
            return None
        try:
            if self.message.poll():
                return self.message.recv()
        except EOFError:
            pass  # the process ended before it could send a reason
        log = Path(*self.run.folder.parts[-2:]) / LOG_FILE
        return f"its process ended with exit code {self.process.exitcode}; see {log}"


def complete_runs(runs: Sequence[ComparisonRun], at_once: int, console: Console) -> dict[Path, str]:
    """Complete every run, `at_once` of them at a time. Returns {folder: reason} of the runs that failed.

    A run that fails does not stop the others. The output of a run is written to log.txt in its folder. After SIGINT or
    SIGTERM, the runs in progress write a checkpoint, then KeyboardInterrupt is raised. A second signal stops them
    immediately.
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
            bar.advance(task, 0)  # the time from which rates are measured
            while waiting or started:
                while waiting and len(started) < at_once:
                    started.append(_start(waiting.pop(0)))
                bar.update(task, description="; ".join(map(str, started)))
                wait([started_run.process.sentinel for started_run in started], _SECONDS_BETWEEN_LOOKS)
                if interruption.requested:
                    _stop(started)
                    console.print("stopped; the same command continues from the last checkpoints", highlight=False)
                    raise KeyboardInterrupt
                for started_run in [started_run for started_run in started if not started_run.process.is_alive()]:
                    started.remove(started_run)
                    failure = started_run.failure()
                    if failure is not None:
                        failures[started_run.run.folder] = failure
                    bar.advance(task)
                    outcome = (
                        f"{time.monotonic() - started_run.since:.0f} s" if failure is None else f"failed: {failure}"
                    )
                    done = len(runs) - len(waiting) - len(started)
                    console.print(f"{done}/{len(runs)}  {started_run.run}: {outcome}", highlight=False, markup=False)
    finally:
        for started_run in started:
            started_run.process.kill()
            started_run.process.join()
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
    """Ask each process to write a checkpoint and end, and wait until all have ended."""
    for started_run in started:
        # On Windows it would end them at once; there the Ctrl-C that reached this process has reached them, too.
        if sys.platform != "win32":
            started_run.process.terminate()
    for started_run in started:
        started_run.process.join()


def _epoch(metrics: Path) -> str:
    """The epoch that the training has reached, read from the end of its metrics.csv."""
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    step, _, rest = lines[-1].partition(",") if len(lines) > 1 else ("", "", "")
    return f" (epoch {rest.partition(',')[0]:.4})" if step else ""


def _work(run: ComparisonRun, message: "_ConnectionBase[str, object]") -> None:
    """The main function of a run's process."""
    # Ctrl-C in a terminal must only reach the first process, which then asks the others to end. They ignore it until
    # they have moved, here, to a process group that the terminal does not signal.
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
    """End this process when the first process has ended for any reason, because nobody would use the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(_FAILED)


def _write_to_log(folder: Path) -> None:
    """Append the output of this process, with tracebacks, to log.txt in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(log.fileno(), stream.fileno())
