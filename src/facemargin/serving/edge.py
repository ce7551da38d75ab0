"""The outermost layer: what every request passes, whatever it asks for.

It gives the request its id, refuses bodies that are too long while they come, calls under other names and from pages of
strangers, answers what nobody foresaw without a traceback, and writes the line of the log.
"""

import logging
import secrets
import time
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from facemargin.errors import FacemarginError
from facemargin.serving.errors import RequestError, as_request_error, error_response
from facemargin.serving.logs import log_event
from facemargin.serving.pages.render import bare_error_page
from facemargin.serving.service import Service

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


class Edge:
    """Wraps `app`."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        hosts = service.settings.hosts
        self._hosts = hosts if hosts is not None else LOOPBACK_NAMES if service.keys is None else ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
                return
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self._service.settings.max_body)
        try:
            self._check(request)
            await self._app(scope, request.receive, request.send)
        except ClientDisconnect:
            request.status = 499
        except RequestError as error:
            await request.answer(error)
        except FacemarginError as error:
            await self._failed(request, as_request_error(error), error)
        except Exception as error:
            await self._failed(request, None, error)
        finally:
            self._done(request)

    def _check(self, request: "_Request") -> None:
        host = request.header(b"host")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self._hosts and name.lower() not in self._hosts:
            raise RequestError(
                421, "other_host", "this service is not called by this name: the operator can allow it (--host-names)"
            )
        if request.scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            origin = request.header(b"origin")
            if origin and urlsplit(origin).netloc.lower() != host.lower():
                raise RequestError(403, "other_origin", "a page of another site may not send this")
            if request.header(b"sec-fetch-site") in ("cross-site", "same-site"):
                raise RequestError(403, "other_origin", "a page of another site may not send this")
        request.check_length()

    async def _failed(self, request: "_Request", told: RequestError | None, error: Exception) -> None:
        """An error of the library that is no client's business, or one that nobody foresaw."""
        if told is None or told.status >= 500:
            # only the library's own words: those of others may repeat anything
            words = str(error) if isinstance(error, FacemarginError) else None
            log_event("failed", logging.ERROR, exc_info=error, request_id=request.id, message=words)
        await request.answer(
            told
            or RequestError(
                500, "failed", f"the service could not answer; its log says why, under request_id {request.id}"
            )
        )

    def _done(self, request: "_Request") -> None:
        seconds = time.perf_counter() - request.begun
        route = getattr(request.scope.get("route"), "path", None) or "none"
        self._service.metrics.requests.labels(route, str(request.status)).inc()
        self._service.metrics.seconds.labels(route).observe(seconds)
        log_event(
            "request",
            request_id=request.id,
            key=request.scope["state"].get("caller"),
            method=request.scope["method"] if request.scope["method"].isalpha() else "?",
            route=route,
            status=request.status,
            code=request.scope["state"].get("code"),
            milliseconds=round(1000 * seconds, 1),
            bytes=request.bytes,
        )


class _Request:
    """One request, with what is counted of it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int) -> None:
        self.scope, self._receive, self._send, self._max_body = scope, receive, send, max_body
        self.id = secrets.token_hex(8)  # never the client's: the audit log goes by it
        scope.setdefault("state", {})["request_id"] = self.id
        self.begun = time.perf_counter()
        self.status, self.bytes = 0, 0

    def header(self, name: bytes) -> str:
        """The value of a header; empty without it."""
        return next((value.decode("latin-1") for key, value in self.scope["headers"] if key == name), "")

    def check_length(self) -> None:
        """Refuse what says that it is too long before any of it is read."""
        length = self.header(b"content-length")
        if length.isdecimal() and int(length[:20]) > self._max_body:
            raise RequestError(413, "too_large", self._too_large())

    def _too_large(self) -> str:
        return f"the body has more than {self._max_body:,} bytes, the most here: send fewer or smaller pictures"

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self.bytes += len(message.get("body", b""))
            if self.bytes > self._max_body:
                raise RequestError(413, "too_large", self._too_large())
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = {name for name, _ in message.get("headers", [])}
            headers = [*message.get("headers", []), (b"x-request-id", self.id.encode())]
            message = {**message, "headers": headers + [pair for pair in _HEADERS if pair[0] not in own]}
        await self._send(message)

    async def answer(self, error: RequestError) -> None:
        """Answer with an error, unless the answer has begun."""
        if self.status:
            return
        self.scope["state"]["code"] = error.code
        to_person = "text/html" in self.header(b"accept") and not self.scope["path"].startswith("/v1/")
        response: Response = bare_error_page(error) if to_person else error_response(error, self.id)
        await response(self.scope, self._receive, self.send)
