"""Who may use an address. It is asked before the body of a request is read."""

from collections.abc import Callable

from fastapi import Request

from facemargin.serving.errors import RequestError
from facemargin.serving.keys import Scope
from facemargin.serving.service import Caller, Service


def service_of(request: Request) -> Service:
    """The service behind the app of a request."""
    service: Service = request.app.state.service
    return service


async def known_query(request: Request) -> None:
    """A dependency: RequestError for a parameter of the address that it does not have, which would be passed over."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            expected = f"expected are {', '.join(known)}" if known else "there are none here"
            raise RequestError(422, "unknown_field", f"there is no parameter {name[:100]!r}; {expected}")


def allowed(scope: Scope) -> Callable[[Request], Caller]:
    """A dependency: who asks, by a key that allows `scope`."""

    async def caller(request: Request) -> Caller:
        found = service_of(request).caller(request.headers.get("authorization"), scope)
        request.state.caller = found.name
        return found

    return caller  # type: ignore[return-value]
