"""Who may use an address. It is asked before the body of a request is read."""

from collections.abc import Callable

from fastapi import Request

from facemargin.serving.keys import Scope
from facemargin.serving.service import Caller, Service


def service_of(request: Request) -> Service:
    """The service behind the app of a request."""
    service: Service = request.app.state.service
    return service


def allowed(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency: who asks, by a key that allows `scope`."""

    async def caller(request: Request) -> Caller:
        found = service_of(request).caller(request.headers.get("authorization"), scope)
        request.state.caller = found.name
        return found

    return caller  # type: ignore[return-value]
