"""The machine and versions that a run was made with, for its report."""

import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

import torch

from facemargin.version import __version__


def environment() -> dict[str, str | int]:
    """Processor, threads, and versions, under the names the report shows. No host name, and no user or folder: of an
    absolute path in the command only the last name is left."""
    return {
        "facemargin": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join([Path(sys.argv[0]).name, *map(_without_folders, sys.argv[1:])]),
    }


def _without_folders(argument: str) -> str:
    """ "--output=/home/name/run" as "--output=run"."""
    option, equals, value = argument.rpartition("=")
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else argument


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
