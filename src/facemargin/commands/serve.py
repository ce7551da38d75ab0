"""`facemargin serve MODEL --gallery NAME=FOLDER`, and `facemargin serve key`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from facemargin.commands._arguments import parse
from facemargin.commands._certificates import fitting_certificate
from facemargin.commands._device import ComputingArguments, check_batch_size, load_on_device
from facemargin.commands._say import say
from facemargin.commands._serve_keys import CreateKeyArguments, keys
from facemargin.decision.calibration import Calibration
from facemargin.detection.detector import DEFAULT_DETECTOR, Detector, DetectorName, create_detector
from facemargin.errors import ConfigError
from facemargin.extras import require_extra
from facemargin.gallery.certificate import GalleryCertificate

_MEGA = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class ServeArguments(ComputingArguments):
    """Answer over HTTP as the verbs do: verify, detect, embed, quality, and galleries, under /v1. Only this machine can
    reach it, unless --host and --keys say otherwise. SIGTERM or Ctrl+C ends it, and what was let in is finished.
    facemargin serve key creates keys."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own."""
    gallery: tuple[str, ...] = ()
    """NAME=FOLDER: a gallery of this model, and the name by which clients know it. Clients name no folders."""
    calibration: Path | None = None
    """The file that facemargin calibrate wrote for this model. Without it, a released model may have thresholds that
    come with facemargin; otherwise there are scores, but no decisions."""
    certificate: Path | None = None
    """Instead of --calibration: the file that facemargin certify wrote for this model."""
    gallery_certificate: tuple[str, ...] = ()
    """NAME=FILE: what facemargin gallery certify promises of a gallery. It ends with the gallery's next change."""
    reports: tuple[str, ...] = ()
    """NAME=FOLDER: a folder of the pages that facemargin report, compare and audit wrote, to show under the same
    address."""
    detect: bool = False
    """Pictures are photographs, in which the face is found and aligned first. Without it they are aligned faces. Of a
    gallery, it was chosen when the gallery was created."""
    detector: DetectorName = DEFAULT_DETECTOR
    """What finds the faces."""
    host: str = "127.0.0.1"
    """The address to listen on. Any but this machine's own needs --keys."""
    port: int = 8000
    """The port to listen on; 0 takes a free one, which the log says."""
    keys: Path | None = None
    """The file of keys that facemargin serve key wrote: nobody is let in without one."""
    host_names: tuple[str, ...] = ()
    """The names under which clients call the service. By default those of this machine without --keys, any with it."""
    tls_certificate: Path | None = None
    """A .pem file: serve HTTPS with this certificate."""
    tls_key: Path | None = None
    """With --tls-certificate: the .pem file of its private key."""
    audit_log: str | None = None
    """The file to which is added who searched, enrolled or removed whom, and when; or off. With a gallery it must be
    said."""
    gates: tuple[Literal["off", "warn", "refuse", "review"], ...] = ("refuse", "review")
    """The gates that a client may choose when it enrols; the first is the default."""
    max_body: int = 16
    """The largest request in megabytes (1,048,576 bytes)."""
    max_pixels: int = 32
    """The largest picture in millions of pixels."""
    queue: int = 64
    """The most requests at a time, those that wait included. Another one is told to come again."""
    threads: int = 0
    """How many requests are worked on at a time; 0 chooses by the processor's cores."""
    deadline: float = 30.0
    """After so many seconds a request is answered with an error."""
    batch_size: int | None = None
    """The most images of several requests that the network computes together. The default is 64 on the CPU and 256 on a
    GPU."""


@dataclass(frozen=True, kw_only=True)
class Arguments(ServeArguments, CreateKeyArguments):
    """The options of all actions, for the completion of a shell."""


def main(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "key":
        return keys(arguments[1:])
    args = parse(ServeArguments, "serve", arguments)
    require_extra("serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client", what="facemargin serve")
    from facemargin.serving.app import create_app
    from facemargin.serving.server import is_loopback, require_safe, run_service

    _check(args)
    require_safe(args.host, args.keys is not None)
    if not is_loopback(args.host) and args.tls_certificate is None:
        say(
            "warning: keys and faces cross the network in the clear: give --tls-certificate and --tls-key, or put a "
            "proxy with TLS before this service", stderr=True,
        )  # fmt: skip
    app = create_app(**_parts(args))
    run_service(app, args.host, args.port, args.tls_certificate, args.tls_key)
    return 0


def _check(args: ServeArguments) -> None:
    check_batch_size(args.batch_size)
    if args.calibration is not None and args.certificate is not None:
        raise ConfigError("--calibration and --certificate are both given, expected one of them")
    if (args.tls_certificate is None) != (args.tls_key is None):
        raise ConfigError("--tls-certificate and --tls-key belong together: give both, or neither")
    if args.gallery and args.audit_log is None:
        raise ConfigError(
            "galleries are served, so say where it is recorded who searched, enrolled or removed whom: --audit-log "
            "FILE.jsonl, or --audit-log off"
        )
    if not 0 <= args.port < 65536:
        raise ConfigError(f"--port is {args.port}, expected 0 to 65535")


def _parts(args: ServeArguments) -> dict[str, Any]:
    """The arguments of `create_app`."""
    from facemargin.serving.audit_log import AuditLog
    from facemargin.serving.keys import KeyFile
    from facemargin.serving.settings import ServiceSettings

    settings = ServiceSettings(
        max_body=args.max_body << 20,
        max_pixels=args.max_pixels * _MEGA,
        queue=args.queue,
        threads=args.threads,
        batch_size=args.batch_size,
        deadline=args.deadline,
        gates=args.gates,
        hosts=tuple(name.lower() for name in args.host_names) or None,
    )
    galleries = _named("--gallery", args.gallery)
    promised = {
        name: GalleryCertificate.load(path)
        for name, path in _named("--gallery-certificate", args.gallery_certificate).items()
    }
    keys_given = None if args.keys is None else KeyFile(args.keys)
    model = load_on_device(args.model, args)
    return {
        "model": model,
        "model_name": str(args.model),
        "galleries": galleries,
        "calibration": None if args.calibration is None else Calibration.load(args.calibration),
        "certificate": fitting_certificate(args.certificate, model, args.detector if args.detect else None),
        "gallery_certificates": promised,
        "reports": _named("--reports", args.reports),
        "detector": _detector(args),
        "detect": args.detect,
        "keys": keys_given,
        "audit_log": None if args.audit_log in (None, "off") else AuditLog(Path(str(args.audit_log))),
        "settings": settings,
    }


def _detector(args: ServeArguments) -> Detector | None:
    """The detector; without --detect None where it is not installed."""
    try:
        return create_detector(args.detector)
    except ConfigError as error:
        if args.detect or args.detector != DEFAULT_DETECTOR:
            raise
        say(f"/v1/detect does not answer: {error}", "note", stderr=True)
        return None


def _named(option: str, given: Sequence[str]) -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or not path or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{option} is {text!r}, expected NAME=PATH, with a name of letters, digits, dots, - and _"
            )
        if name in found:
            raise ConfigError(f"{option} gives {name!r} twice, expected each name once")
        found[name] = Path(path)
    return found
