"""Who looks at a page: a cookie with an identity that says nothing, and a token in every form that changes something.

Cookies are HttpOnly and SameSite=Strict, so that no script reads them and no other site sends them. The token of a form
is bound to the cookie: who cannot read the page cannot know it.
"""

import hashlib
import hmac
import re
import secrets
import threading
import time
from dataclasses import dataclass

from facemargin.serving.errors import RequestError
from facemargin.serving.keys import Key, KeyFile

COOKIE = "facemargin_session"
SECONDS = 12 * 3600
_MOST = 10_000
_IDENTITY = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class _Login:
    sha256: str
    until: float


class Sessions:
    """The logins of a service, which end with it, and the secret that makes tokens."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._logins: dict[str, _Login] = {}
        self._lock = threading.Lock()

    def log_in(self, key: Key) -> str:
        """The identity of a new session, for the cookie."""
        identity = new_identity()
        with self._lock:
            self._logins[identity] = _Login(key.sha256, time.monotonic() + SECONDS)
            while len(self._logins) > _MOST:  # the oldest first
                del self._logins[next(iter(self._logins))]
        return identity

    def key(self, identity: str, keys: KeyFile) -> Key | None:
        """Whose session it is; None if it is none, has ended, or its key was revoked."""
        with self._lock:
            login = self._logins.get(identity)
        if login is None or login.until < time.monotonic():
            return None
        valid = [key for key in keys.keys() if key.revoked is None]  # noqa: SIM118
        return next((key for key in valid if key.sha256 == login.sha256), None)

    def log_out(self, identity: str) -> None:
        with self._lock:
            self._logins.pop(identity, None)

    def token(self, identity: str) -> str:
        """What the forms of this session hold."""
        return hmac.new(self._secret, f"form {identity}".encode(), hashlib.sha256).hexdigest()

    def require_token(self, identity: str, given: str) -> None:
        """RequestError for another one."""
        if not hmac.compare_digest(self.token(identity).encode(), given.encode()):
            raise RequestError(
                403, "old_form", "this form is from before the service was started, or you logged in or out meanwhile: "
                "open the page again, and send it once more",
            )  # fmt: skip


def new_identity() -> str:
    return secrets.token_urlsafe(32)


def is_identity(given: str) -> bool:
    return bool(_IDENTITY.fullmatch(given))
