"""A service on HTTP that answers as the verbs do, and its client. All but the client needs the extra `serve`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facemargin.serving.app import create_app
    from facemargin.serving.client import Client
    from facemargin.serving.settings import ServiceSettings

__all__ = ["Client", "ServiceSettings", "create_app"]

_HOMES = {"Client": "client", "ServiceSettings": "settings", "create_app": "app"}


# Imported on first use, so that the client does not need what the service needs.
def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
