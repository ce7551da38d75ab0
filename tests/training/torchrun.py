"""Real runs of several processes under torchrun."""

import os
import subprocess
import sys
from pathlib import Path

from tests.processes import run_as_torchrun

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


def run_many(processes: int, *arguments: object, script: tuple[str, ...] = ("-m", "facemargin")) -> tuple[int, str]:
    """(the worst exit code, output) of such processes, each of which must end by itself: no torchrun ends it."""
    codes, output = run_as_torchrun(processes, *script, *arguments)
    return max(codes, key=abs), output


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
