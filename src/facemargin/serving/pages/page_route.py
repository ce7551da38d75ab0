"""How the pages answer what goes wrong: with a page."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute

from facemargin.errors import FacemarginError
from facemargin.serving.access import service_of
from facemargin.serving.errors import RequestError, as_request_error, log_cause, value_words
from facemargin.serving.logs import log_event
from facemargin.serving.pages.render import page
from facemargin.serving.pages.visitor import NotLoggedInError, Visitor, identity_of
from facemargin.serving.service import ANYBODY


class PageRoute(APIRoute):
    """Errors are pages, too, and who is not logged in is sent to log in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            try:
                return await handle(request)
            except NotLoggedInError:
                if "hx-request" in request.headers:  # only a part of the page would be replaced
                    return Response(status_code=200, headers={"HX-Redirect": "/login"})
                return RedirectResponse("/login", 303)
            except RequestError as error:
                log_cause(error, request.state.request_id)
                return _error_page(request, error)
            except RequestValidationError as error:
                return _error_page(request, RequestError(422, "invalid_value", value_words(error.errors())))
            except FacemarginError as error:
                told = as_request_error(error)
                if told is None:
                    raise  # no visitor's business: the edge logs it
                if told.status >= 500:
                    log_event("failed", logging.ERROR, exc_info=error, request_id=request.state.request_id)
                return _error_page(request, told)

        return handler


def _error_page(request: Request, error: RequestError) -> HTMLResponse:
    request.state.code = error.code
    identity, has_cookie = identity_of(request)
    visitor: Visitor | None = getattr(request.state, "visitor", None)
    if visitor is None and service_of(request).keys is None:
        visitor = Visitor(ANYBODY, identity, has_cookie)
    response = page(request, visitor, "error.html.jinja", error.status, message=error.message, identity=identity)
    response.headers.update({name: value for name, value in error.headers.items() if name == "Retry-After"})
    return response
