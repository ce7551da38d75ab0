"""Who asks for a page. It is asked before the body of a request is read."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import Request

from facemargin.serving.access import service_of
from facemargin.serving.errors import RequestError, keys_are_readable
from facemargin.serving.keys import Scope
from facemargin.serving.pages.sessions import COOKIE, Sessions, is_identity, new_identity
from facemargin.serving.service import ANYBODY, Caller


class NotLoggedInError(Exception):
    """A page that takes a key, and there is none."""


@dataclass(frozen=True)
class Visitor:
    """`caller`: what is allowed; `identity`: of the cookie, new if the browser had none."""

    caller: Caller
    identity: str
    has_cookie: bool

    @property
    def writes(self) -> bool:
        return "write" in self.caller.scopes


def sessions_of(request: Request) -> Sessions:
    found: Sessions = request.app.state.sessions
    return found


def identity_of(request: Request) -> tuple[str, bool]:
    """That of the cookie, or a new one; and whether the cookie is there."""
    given = request.cookies.get(COOKIE, "")
    return (given, True) if is_identity(given) else (new_identity(), False)


def visiting(scope: Scope) -> Callable[[Request], Visitor]:
    """A dependency: who visits a page that needs `scope`. NotLoggedInError, or RequestError for a key without it."""

    def visitor(request: Request) -> Visitor:
        service = service_of(request)
        identity, has_cookie = identity_of(request)
        if service.keys is None:
            caller = ANYBODY
        else:
            with keys_are_readable():
                key = sessions_of(request).key(identity, service.keys)
            if key is None:
                raise NotLoggedInError
            caller = Caller(key.name, key.scopes)
        found = Visitor(caller, identity, has_cookie)
        request.state.visitor, request.state.caller = found, caller.name
        if scope not in caller.scopes:
            words = f"your key does not allow to {scope}: it allows {', '.join(caller.scopes)}"
            raise RequestError(403, "not_allowed", words)
        return found

    return visitor
