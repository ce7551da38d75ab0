"""Every error of the service in one form: {"error": {"code": …, "message": …, "request_id": …}}."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from facemargin.errors import (
    ConfigError,
    CorruptImageError,
    FacemarginError,
    ImageError,
    NoFaceError,
    OutputError,
    SeveralFacesError,
)
from facemargin.serving.logs import log_event

_CODES: tuple[tuple[type[FacemarginError], int, str], ...] = (
    (NoFaceError, 422, "no_face"),
    (SeveralFacesError, 422, "several_faces"),
    (CorruptImageError, 422, "unreadable"),
    (ImageError, 422, "unreadable"),
    (ConfigError, 422, "invalid_value"),
    (OutputError, 503, "cannot_be_written"),
)
_WORDS = {404: "there is nothing at this address", 405: "this address does not take this method"}


class RequestError(Exception):
    """A request that is answered with an error: the `status` of HTTP, a `code` for programs, `message` for people."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})


@contextmanager
def keys_are_readable() -> Iterator[None]:
    """RequestError for a file of keys that cannot be read within."""
    try:
        yield
    except FacemarginError as error:
        raise RequestError(503, "no_keys", "the keys cannot be read: the service's log says why") from error


def too_late() -> RequestError:
    """The answer after the deadline."""
    return RequestError(
        504,
        "deadline",
        "the answer was not ready in time: ask again, with fewer pictures. A change of a gallery may have been made "
        "all the same; repeating it does no harm",
    )


def error_body(code: str, message: str, request_id: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "request_id": request_id}}


def error_response(error: RequestError, request_id: str) -> JSONResponse:
    return JSONResponse(error_body(error.code, error.message, request_id), error.status, error.headers)


def as_request_error(error: FacemarginError) -> RequestError | None:
    """What a client is told of an error of the library; None for one that is no client's business, such as a damaged
    gallery, whose message may say where it lies."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            headers = {"Retry-After": "1"} if status == 503 else None
            words = str(error) if status != 503 else "this cannot be written now: the service's log says why"
            return RequestError(status, code, words, headers)
    return None


def log_cause(error: RequestError, request_id: str) -> None:
    """Log the error of the library because of which the service cannot answer: its words are no client's business."""
    if error.status >= 500 and isinstance(error.__cause__, FacemarginError):
        log_event(
            "failed", logging.ERROR, exc_info=error.__cause__, request_id=request_id, message=str(error.__cause__)
        )


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of a request in the one form. What is not foreseen is left to the edge."""

    async def of_service(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestError)
        request.state.code = error.code
        log_cause(error, request.state.request_id)
        return error_response(error, request.state.request_id)

    async def of_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        words = _WORDS.get(error.status_code, f"the request was refused: {error.detail}")
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        found = RequestError(error.status_code, code, words, error.headers)
        request.state.code = code
        return error_response(found, request.state.request_id)

    async def of_values(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        found = RequestError(422, "invalid_value", value_words(error.errors()))
        request.state.code = found.code
        return error_response(found, request.state.request_id)

    app.add_exception_handler(RequestError, of_service)
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_values)


def value_words(errors: Sequence[Any]) -> str:
    """What is wrong with the values of a request, without repeating them."""
    words = []
    for error in errors:
        name = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path")) or "the request"
        what = (
            "is missing"
            if error["type"] == "missing"
            else f"is not valid: {error['msg'][:1].lower()}{error['msg'][1:]}"
        )
        words.append(f"{name[:100]} {what}")
    return "; ".join(words[:5])
