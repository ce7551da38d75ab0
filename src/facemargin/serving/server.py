"""Runs the service with uvicorn until it is told to end."""

import ipaddress
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from facemargin.errors import ConfigError, OutputError
from facemargin.serving.logs import JsonLines, log_event
from facemargin.serving.protocol import ServiceProtocol
from facemargin.serving.service import Service

_GRACE = 5  # seconds beyond the deadline of requests


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def require_safe(host: str, has_keys: bool) -> None:
    """Raise ConfigError if anybody in the network could use a service without keys."""
    if not is_loopback(host) and not has_keys:
        raise ConfigError(
            f"--host {host} lets other machines in, and without keys everybody there could search and change the "
            "galleries: create a key (facemargin serve key create KEYS.json NAME) and give --keys KEYS.json, or stay "
            "with --host 127.0.0.1"
        )


def run_service(
    app: FastAPI,
    host: str = "127.0.0.1",
    port: int = 8000,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl+C; what was let in is finished first. The log goes to stdout, a line of JSON for each
    event; libraries in C write to stderr. ConfigError where others could reach it without keys, OutputError if the port
    is not to be had."""
    service: Service = app.state.service
    require_safe(host, service.keys is not None)
    host = host.strip("[]")  # of an IPv6 address as in URLs
    _log_to_stdout()
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=type("Protocol", (ServiceProtocol,), {"head_seconds": service.settings.deadline}),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
        timeout_graceful_shutdown=int(service.settings.deadline) + _GRACE,
    )
    server = _Server(config)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises it again when all is done
    try:
        server.run()
    except SystemExit as error:
        raise OutputError(f"{host}:{port} cannot be listened on: is another service running there?") from error
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """Says in the log where it listens."""

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for socket in server.sockets:
                host, port = socket.getsockname()[:2]
                log_event("listening", host=host, port=port)

    async def shutdown(self, sockets: Any = None) -> None:
        log_event("ending")
        await super().shutdown(sockets)
        log_event("ended")


def _log_to_stdout() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.root.addHandler(handler)
    logging.getLogger("facemargin.serving").setLevel(logging.INFO)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(logging.WARNING)
