"""Pages from templates, with the headers that keep them to themselves."""

import hashlib
from datetime import UTC, datetime
from importlib import resources
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from facemargin.counting import counted
from facemargin.serving.access import service_of
from facemargin.serving.errors import RequestError
from facemargin.serving.pages.sessions import COOKIE, SECONDS
from facemargin.serving.pages.visitor import Visitor, sessions_of
from facemargin.version import __version__

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # with none at all, browsers hide that a form is sent from here
}
_TYPES = {"style.css": "text/css", "page.js": "text/javascript", "htmx.min.js": "text/javascript"}


def _static() -> dict[str, bytes]:
    folder = resources.files("facemargin.serving.pages") / "static"
    return {name: (folder / name).read_bytes() for name in _TYPES}


STATIC = _static()
"""The files that pages load, by name: nothing else is served from the package."""


def static_type(name: str) -> str:
    return f"{_TYPES[name]}; charset=utf-8"


def _address(name: str) -> str:
    """With the digest of the content, so that a browser may keep it."""
    return f"/static/{name}?{hashlib.sha256(STATIC[name]).hexdigest()[:12]}"


_TEMPLATES = Environment(
    loader=PackageLoader("facemargin.serving.pages", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
_TEMPLATES.globals |= {"static": _address, "version": __version__}
_TEMPLATES.filters["counted"] = lambda number, one, many=None: counted(number, one, many)
_TEMPLATES.filters["number"] = lambda value: "–" if value is None or value != value else f"{value:.4g}"
_TEMPLATES.filters["score"] = lambda value: "–" if value is None or value != value else f"{value:.4f}"
_TEMPLATES.filters["capitalize_first"] = lambda text: text[:1].upper() + text[1:]
_TEMPLATES.filters["date"] = lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat(" ", "minutes")[:16]
_TEMPLATES.filters["day"] = lambda time: time[:10]


def page(
    request: Request, visitor: Visitor | None, template: str, status: int = 200, identity: str = "", **values: Any
) -> HTMLResponse:
    """A page for a visitor, or for somebody who is not logged in and has this `identity`."""
    service = service_of(request)
    identity = visitor.identity if visitor is not None else identity
    content = _TEMPLATES.get_template(template).render(
        visitor=visitor,
        galleries=list(service.galleries),
        has_reports=bool(request.app.state.reports.folders),
        has_keys=service.keys is not None,
        token=sessions_of(request).token(identity) if identity else "",
        path=request.url.path,
        **values,
    )
    response = HTMLResponse(content, status, headers=_HEADERS)
    if identity and (visitor is None or not visitor.has_cookie):
        set_cookie(request, response, identity)
    return response


def bare_error_page(error: RequestError) -> HTMLResponse:
    """The page of an error before anything is known of who asks."""
    content = _TEMPLATES.get_template("error.html.jinja").render(
        visitor=None, galleries=[], has_reports=False, has_keys=False, token="", path="", message=error.message
    )
    return HTMLResponse(content, error.status, headers={**_HEADERS, **error.headers})


def set_cookie(request: Request, response: HTMLResponse | Any, identity: str) -> None:
    """Until the browser is closed, and never longer than a login holds."""
    response.set_cookie(
        COOKIE, identity, max_age=SECONDS, path="/", httponly=True, samesite="strict",
        secure=request.url.scheme == "https",
    )  # fmt: skip
