"""Real runs of several processes under torchrun."""

import os
import subprocess
import sys
from pathlib import Path

PLAIN = str(Path(__file__).with_name("plain_run.py"))


def launch(processes: int, *arguments: object, script: tuple[str, ...] = ("-m", "facemargin"), restarts: int = 0):
    """`torchrun … facemargin …` as a process whose output is captured."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300", "GLOO_SOCKET_IFNAME": "lo"}
    return subprocess.Popen(
        [sys.executable, *torchrun, f"--max-restarts={restarts}", *script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def run_many(processes: int, *arguments: object, **options) -> tuple[int, str]:
    """(exit code, output) of such a run."""
    process = launch(processes, *arguments, **options)
    output, _ = process.communicate(timeout=900)
    return process.returncode, output


def workers_of(launcher: subprocess.Popen) -> list[int]:
    """Process numbers of the launcher's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(after_name[1]) == launcher.pid:
            found.append(int(stat.parent.name))
    return sorted(found)
