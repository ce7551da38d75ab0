"""The limits of a service."""

import os
from dataclasses import dataclass
from typing import get_args

from facemargin.errors import ConfigError
from facemargin.gallery.enrolment import GateMode


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, 4 + 2 * cores)


@dataclass(frozen=True)
class ServiceSettings:
    """What a service lets in. ConfigError for a value out of range.

    Examples:
        >>> from facemargin.serving import ServiceSettings
        >>> ServiceSettings(deadline=5).deadline
        5
    """

    max_body: int = 16 << 20
    """The largest body of a request in bytes. A longer one is refused while it is read."""
    max_pixels: int = 32_000_000
    """The largest picture in pixels, as its header states them, before memory is taken for it."""
    max_images: int = 32
    """The most pictures in one request."""
    queue: int = 64
    """The most requests at a time, those that wait included. Another one is told to come again (429)."""
    threads: int = 0
    """How many requests are worked on at a time; 0 chooses by the processor's cores."""
    detections: int = 2
    """How many photographs are searched for faces at a time: each takes up to 700 MB."""
    batch_size: int | None = None
    """The most images of several requests that the network computes together. The default is the model's; with 1, every
    answer is to the bit what it would be alone."""
    deadline: float = 30.0
    """After so many seconds a request is answered with an error (504)."""
    gates: tuple[GateMode, ...] = ("refuse", "review")
    """The gates that a client may choose when it enrols; the first is the default."""
    hosts: tuple[str, ...] | None = None
    """The names under which the service may be called (the header Host), against pages of strangers whose name leads to
    this machine. By default those of this machine if there are no keys, else any."""

    def __post_init__(self) -> None:
        for name, least in (
            ("max_body", 1), ("max_pixels", 1), ("max_images", 1), ("queue", 1), ("threads", 0), ("detections", 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigError(f"{name} is {value!r}, expected a whole number of at least {least}")
        if self.batch_size is not None and (type(self.batch_size) is not int or self.batch_size < 1):
            raise ConfigError(f"batch_size is {self.batch_size!r}, expected a whole number of at least 1")
        if not 0 < self.deadline < 1e6:
            raise ConfigError(f"deadline is {self.deadline!r}, expected seconds above 0")
        if not self.gates or not set(self.gates) <= set(get_args(GateMode)):
            raise ConfigError(f"gates is {self.gates!r}, expected some of {', '.join(get_args(GateMode))}")
        if not self.threads:
            object.__setattr__(self, "threads", _threads())
