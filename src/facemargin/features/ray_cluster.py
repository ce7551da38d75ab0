"""Ray: a cluster of this machine's processes, or one that runs already.

A cluster of this machine listens on loopback only, asks for a token that nobody else has, sends no statistics of its
use, opens no dashboard, and keeps its files in a temporary folder that is deleted in the end.
"""

import contextlib
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from facemargin.errors import ConfigError, FacemarginError
from facemargin.extras import require_extra

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a process that asked for no GPU sees none
}
_LONGEST_FOLDER = 36
"""Characters of the temporary folder: Ray adds 60 to 70, and the path of a socket has at most 107."""
_STARTED_IN = 600
"""Seconds within which a process of the cluster begins."""

READING = 0.25
"""The share of a processor that reading gets beside a network that computes on it."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Pool:
    """A number of processes, each of which takes so many processors and GPUs of the cluster."""

    size: int
    cpus: float
    gpus: int = 0


@dataclass(frozen=True)
class Pools:
    readers: Pool
    embedders: Pool


def plan_pools(cpus: float, gpus: float, device: str, threads: int) -> Pools:
    """How many processes read and how many have the model. On the GPU: one embedder a GPU, and one reader for each
    other processor. On the CPU: as many embedders of `threads` threads as there are processors for, of which readers
    get the share `READING`."""
    if device == "cuda":
        embedders = max(1, int(gpus))
        readers = max(1, int(cpus) - embedders)
        share = min(1.0, max(0.01, cpus / (embedders + readers)))
        return Pools(Pool(readers, share), Pool(embedders, share, gpus=1))
    embedders = max(1, int(cpus) // threads)
    readers = max(1, int(cpus * READING))
    return Pools(Pool(readers, READING * cpus / readers), Pool(embedders, (1 - READING) * cpus / embedders))


class Cluster:
    """A cluster that is started, or connected to at `address`, on entering, and left on leaving.

    Raises ConfigError without Ray, for an address where no cluster answers, and for one of Ray's client, which cannot
    pass pixels on."""

    def __init__(self, address: str | None = None) -> None:
        os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
        if address is None:
            _only_for_us()  # Ray reads it when it is imported
        require_extra("scale", "ray.data", what="--engine ray")
        if address is not None and (not address or address.startswith("ray://")):
            raise ConfigError(
                f"--address is {address!r}: start the command on a machine of the cluster instead, and give "
                "--address auto, or HOST:PORT of its head"
            )
        self._address = address
        self._folder: Path | None = None

    def __enter__(self) -> "Cluster":
        if self._address is None:
            self._folder = _temporary_folder()
        import ray

        logging.getLogger("ray").setLevel(logging.ERROR)
        self._on_sigterm = signal.getsignal(signal.SIGTERM)
        local = {"include_dashboard": False, "_temp_dir": str(self._folder), "_node_ip_address": "127.0.0.1"}
        try:
            with _silent() as said:
                ray.init(
                    address=self._address or "local",
                    log_to_driver=False,
                    configure_logging=False,
                    **(local if self._address is None else {}),
                )
        except (OSError, RuntimeError, ValueError) as error:
            self._leave()
            what = f"no Ray cluster can be used at {self._address}" if self._address else "Ray cannot be started here"
            raise ConfigError(f"{what}: {error}{said()}") from error
        except BaseException:
            self._leave()
            raise
        if _in_main_thread():  # Ray's own code would end the process at once, and leave its files behind
            signal.signal(signal.SIGTERM, _stop)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave()

    @property
    def gpus(self) -> int:
        import ray

        return int(ray.cluster_resources().get("GPU", 0))

    def pools(self, device: str, threads: int) -> Pools:
        import ray

        found = ray.cluster_resources()
        return plan_pools(found.get("CPU", 1), found.get("GPU", 0), device, threads)

    def share(self, value: Any) -> list[Any]:
        """A reference to a value, which every process can get, in a list, so that Ray passes the reference on."""
        import ray

        return [ray.put(value)]

    def call(self, function: Callable[..., Result], *arguments: Any, gpus: int = 0) -> Result:
        """What a function returns in another process."""
        import ray

        remote = ray.remote(num_cpus=0, num_gpus=gpus)(function)
        with _own_errors():
            result: Result = ray.get(remote.remote(*arguments), timeout=_STARTED_IN)
            return result

    def rows(self, rows: list[dict[str, Any]], stages: Sequence[tuple[type, Any, Pool]]) -> Iterator[dict[str, Any]]:
        """Every row after all `stages`, each a class whose instances are called with a row, what they are created with,
        and their pool. In any order."""
        import ray.data

        logging.getLogger("ray.data").setLevel(logging.ERROR)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.log_internal_stack_trace = False
        data = ray.data.from_items(rows, override_num_blocks=len(rows))
        for cls, given, pool in stages:
            compute = ray.data.ActorPoolStrategy(
                min_size=1, max_size=pool.size, initial_size=pool.size, max_tasks_in_flight_per_actor=2
            )
            data = data.map(
                cls, fn_constructor_args=given, compute=compute, num_cpus=pool.cpus, num_gpus=pool.gpus or None
            )
        with _own_errors():
            yield from data.iter_rows()

    def _leave(self) -> None:
        import ray

        with contextlib.suppress(Exception):
            ray.shutdown()
        if _in_main_thread() and self._on_sigterm is not None:
            signal.signal(signal.SIGTERM, self._on_sigterm)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _in_main_thread() -> bool:
    """Whether this thread may say what signals do."""
    return threading.current_thread() is threading.main_thread()


def _stop(number: int, _: object) -> NoReturn:
    raise SystemExit(128 + number)


def _only_for_us() -> None:
    """What a cluster of this machine is started with."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # on Linux, too, it then listens on loopback only
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 would let every other program go first
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _temporary_folder() -> Path:
    usual = Path(tempfile.gettempdir())
    place = usual if len(str(usual)) <= _LONGEST_FOLDER - len("/ray-12345678") else Path("/tmp")
    return Path(tempfile.mkdtemp(prefix="ray-", dir=place))


@contextlib.contextmanager
def _own_errors() -> Iterator[None]:
    """Raise the error of facemargin that another process raised, instead of Ray's that wraps it."""
    import ray

    try:
        yield
    except (ray.exceptions.RayError, RuntimeError) as error:
        raise _own(error) or ConfigError(f"Ray has failed: {str(error).strip().splitlines()[-1]}") from error


def _own(error: BaseException | None) -> FacemarginError | None:
    """The error of facemargin among the causes. Ray's error of a process has the class of its cause, too."""
    for _ in range(20):
        cause = getattr(error, "cause", None)
        if not isinstance(cause, BaseException):
            if isinstance(error, FacemarginError):
                return error
            cause = getattr(error, "__cause__", None)
        error = cause
    return None


@contextlib.contextmanager
def _silent() -> Iterator[Callable[[], str]]:
    """Keep what Ray's own code writes to stderr; yields a function that returns it."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        text = ""
        try:
            yield lambda: text
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            text = file.read().decode(errors="replace")
