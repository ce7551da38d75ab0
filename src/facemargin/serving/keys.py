"""The keys of a service: who may do what. The file has their hashes only.

A key is 256 random bits, so that one round of SHA-256 hides it: there is nothing to guess.
"""

import hashlib
import hmac
import json
import os
import secrets
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, cast, get_args

from facemargin.errors import ConfigError, DataError
from facemargin.files.atomic import write_atomically
from facemargin.files.fields import Fields

Scope = Literal["read", "write"]
"""read: verify, detect, embed, quality, identify, list people. write: enrol and remove people."""

FORMAT = "facemargin keys 1"
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Key:
    """The key called `name`, of which only the hash is known; `created` and `revoked`: when (UTC, ISO 8601), the latter
    None for one that is valid."""

    name: str
    scopes: tuple[Scope, ...]
    sha256: str
    created: str
    revoked: str | None = None


class KeyFile:
    """The keys in a .json file, read again whenever it has changed. DataError, which names the file and the field, for
    a file that is no such file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._keys: list[Key] = []
        self.keys()

    def keys(self) -> list[Key]:
        """All keys, also those that were revoked."""
        try:
            found = self.path.stat()
            seen = found.st_mtime_ns, found.st_size, found.st_ino
            if seen != self._seen:
                self._keys = read_keys(self.path)
                self._seen = seen
        except OSError as error:
            raise DataError(f"{self.path} cannot be read as a file of keys: {error.strerror}") from error
        return self._keys

    def find(self, secret: str) -> Key | None:
        """The valid key that `secret` is. All are compared, in constant time."""
        given = _hash(secret)
        found = None
        for key in self.keys():
            if hmac.compare_digest(given, key.sha256) and key.revoked is None:
                found = key
        return found


def read_keys(path: Path) -> list[Key]:
    """The keys in a file. Raises DataError, which names the file and the field, for any other file."""
    try:
        return _keys(Fields(json.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise DataError(f"{path} cannot be read as a file of keys: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        problem = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DataError(
            f"{path} cannot be read as a file of keys: {problem}; facemargin serve key create writes one"
        ) from error


def create_key(path: Path, name: str, scopes: tuple[Scope, ...]) -> str:
    """Add a key to the file, which is made if it is not there, and return it: it is never shown again. ConfigError for
    a name that is empty, or that a valid key has."""
    keys = read_keys(path) if path.exists() else []
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise ConfigError(
            f"the name of the key is {name!r}, expected 1 to {_LONGEST_NAME} characters that can be shown"
        )
    if any(key.name == name and key.revoked is None for key in keys):
        raise ConfigError(f"{path} has a key {name!r} already: revoke it first, or choose another name")
    if not scopes:
        raise ConfigError(f"the key has no scope, expected some of {', '.join(get_args(Scope))}")
    secret = f"fm_{secrets.token_urlsafe(32)}"
    ordered = tuple(scope for scope in get_args(Scope) if scope in scopes)
    _write(path, [*keys, Key(name, ordered, _hash(secret), _now())])
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Make the valid key called `name` invalid, at once also for a service that runs. ConfigError if there is none."""
    keys = read_keys(path)
    if not any(key.name == name and key.revoked is None for key in keys):
        valid = ", ".join(repr(key.name) for key in keys if key.revoked is None) or "none"
        raise ConfigError(f"{path} has no valid key {name!r}; valid are: {valid}")
    _write(
        path,
        [
            Key(key.name, key.scopes, key.sha256, key.created, _now())
            if key.name == name and key.revoked is None
            else key
            for key in keys
        ],
    )


def _write(path: Path, keys: list[Key]) -> None:
    content = json.dumps({"format": FORMAT, "keys": [asdict(key) for key in keys]}, indent=1, ensure_ascii=False)

    def write(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(f"{content}\n".encode())

    write_atomically(path, write)


def _keys(file: Fields) -> list[Key]:
    file.text("format", (FORMAT,))
    keys = []
    for item in file.list_of_fields("keys"):
        name, scopes = item.text("name"), item.texts("scopes", get_args(Scope))
        sha256, created, revoked = item.text("sha256"), item.text("created"), item.optional_text("revoked")
        item.end()
        if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
            raise item.refuse("sha256", sha256, "64 hexadecimal digits")
        keys.append(Key(name, cast(tuple[Scope, ...], tuple(scopes)), sha256, created, revoked))
    file.end()
    return keys


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
