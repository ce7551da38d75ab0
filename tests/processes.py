"""Real processes for tests, forked from one that has imported torch, which takes each new interpreter seconds.

`Program` is `subprocess.Popen` of a Python program but for the start of the interpreter; a test of that start, or of
what importing does, uses subprocess itself.
"""

import atexit
import multiprocessing
import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Callable, Mapping
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

_IMPORTED_ONCE = [
    "torch",
    "torch.distributed",
    "torch.multiprocessing",
    "torch._dynamo",  # which the first step of an optimiser imports
    "tyro",
    "facemargin.heads",
    "facemargin.training.trainer",
    "facemargin.comparison.processes",
    "facemargin.commands.train",
]


def forking() -> BaseContext:
    """The context whose processes are forked from that one; on Windows, which cannot fork, they are spawned."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    multiprocessing.set_forkserver_preload(_IMPORTED_ONCE)
    return multiprocessing.get_context(method)


class Program:
    """`python *command`, started at once: `-m module …` or `file.py …`, on one thread, with its output in files.

    It has the names of `subprocess.Popen` that tests use. `environment` is added to this process's."""

    def __init__(
        self,
        *command: object,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        start_new_session: bool = False,
    ) -> None:
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._files = [folder / name for name in ("out", "err")]
        whole = {**os.environ, "COLUMNS": "300", **(environment or {})}
        arguments = ([str(word) for word in command], whole, cwd or Path.cwd(), self._files, start_new_session)
        self._process = forking().Process(target=_run_program, args=arguments)
        self._process.start()
        self.pid: int = self._process.pid
        atexit.register(self.kill)  # or a failed test would be waited for until its process ends by itself

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = 900) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("the program", timeout)
        atexit.unregister(self.kill)
        return self.returncode

    def communicate(self, timeout: float | None = 900) -> tuple[str, str]:
        """(what it wrote to stdout, to stderr), once it has ended."""
        self.wait(timeout)
        out, err = map(_text, self._files)
        return out, err

    def written(self) -> str:
        """The whole lines that it has written to stdout so far."""
        text = _text(self._files[0])
        return text[: text.rfind("\n") + 1]

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def run_program(*command: object, **options: Any) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of a Program."""
    program = Program(*command, **options)
    out, err = program.communicate()
    return program.returncode, out, err


def run_as_torchrun(processes: int, *command: object) -> tuple[list[int], str]:
    """The exit codes, and the output, of as many Programs that find what torchrun would have told them."""
    store = dist.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    shared = {
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "GLOO_SOCKET_IFNAME": "lo",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
    }
    environments = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    programs = [Program(*command, environment=environment) for environment in environments]
    texts = [text for program in programs for text in program.communicate()]
    return [program.returncode for program in programs], "".join(texts)


def _run_program(
    command: list[str], environment: dict[str, str], folder: Path, files: list[Path], new_session: bool
) -> None:
    if new_session:
        os.setsid()
    for number, (name, file) in enumerate(zip(("stdout", "stderr"), files, strict=True), start=1):
        with file.open("w") as opened:
            os.dup2(opened.fileno(), number)
        setattr(sys, name, open(number, "w", buffering=1, encoding="utf-8", closefd=False))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    multiprocessing.set_start_method(None, force=True)  # its own children are those of any program
    torch.set_num_threads(1)
    module, *arguments = command[1:] if command[0] == "-m" else command
    sys.argv = [module, *arguments]
    if command[0] == "-m":
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(module).parent))
        runpy.run_path(module, run_name="__main__")


def run_processes(function: Callable[..., Any], processes: int, *arguments: Any) -> list[Any]:
    """What `function(group, *arguments)`, a function of a module, returns in each of `processes` processes of a gloo
    group."""
    with tempfile.TemporaryDirectory() as folder:
        method = forking().get_start_method()
        mp.start_processes(_process, (processes, folder, function, arguments), processes, start_method=method)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(processes)]


def _process(rank: int, processes: int, folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    try:
        torch.save(function(dist.group.WORLD, *arguments), Path(folder) / f"{rank}.pt")
    finally:
        dist.destroy_process_group()
