"""HTTP/1.1 as uvicorn speaks it, with errors in the form of all others, and no patience with headers that do not
come."""

import asyncio
import json
import secrets
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from facemargin.serving.errors import error_body
from facemargin.serving.logs import log_event


class ServiceProtocol(H11Protocol):
    """`head_seconds`: within so many seconds the headers of a request must have come, or the connection is closed."""

    head_seconds = 30.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_answering():
            self._wait_for_head()

    def send_400_response(self, msg: str) -> None:
        """What is no HTTP is refused."""
        request_id = secrets.token_hex(8)
        log_event("request", request_id=request_id, route="none", status=400, code="bad_request")
        words = "this is not a request that can be read: expected HTTP/1.1 with headers of at most 64 KB"
        body = json.dumps(error_body("bad_request", words, request_id)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        headers += [(b"connection", b"close"), (b"x-request-id", request_id.encode())]
        try:
            response = h11.Response(status_code=400, headers=headers, reason=b"Bad Request")
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # an answer has begun
            pass
        self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
