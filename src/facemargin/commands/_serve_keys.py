"""`facemargin serve key create KEYS.json NAME`, and list, and revoke."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.markup import escape

from facemargin.commands._actions import Actions, run_action
from facemargin.commands._arguments import parse
from facemargin.commands._say import say
from facemargin.serving.keys import Scope, create_key, read_keys, revoke_key
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class KeyFileArguments:
    """Which file of keys."""

    key_file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="KEYS.json")]
    """The file of keys, which has their hashes only."""


@dataclass(frozen=True, kw_only=True)
class NamedKeyArguments(KeyFileArguments):
    """Make a key invalid, at once also for a service that runs."""

    key_name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """The name of the key, which the audit log says."""


@dataclass(frozen=True, kw_only=True)
class CreateKeyArguments(NamedKeyArguments):
    """Create a key and print it. It is shown this once."""

    scopes: tuple[Scope, ...] = ("read",)
    """What it allows: read (verify, detect, embed, quality, identify, list people), write (enrol and remove people), or
    both."""


@dataclass(frozen=True, kw_only=True)
class ListKeysArguments(KeyFileArguments):
    """List the names of the keys, what they allow, and which are revoked."""


_ACTIONS: Actions = {
    "create": ("create a key and print it", lambda arguments: _create(arguments)),
    "list": ("list the keys", lambda arguments: _list(arguments)),
    "revoke": ("make a key invalid", lambda arguments: _revoke(arguments)),
}


def keys(arguments: Sequence[str]) -> int:
    return run_action("serve key", "KEYS.json …", _ACTIONS, arguments, "list keys.json")


def _create(arguments: Sequence[str]) -> int:
    args = parse(CreateKeyArguments, "serve key create", arguments)
    secret = create_key(args.key_file, args.key_name, args.scopes)
    say(secret)
    say(f"this key is not shown again: {args.key_file} has its hash only", "note", stderr=True)
    return 0


def _list(arguments: Sequence[str]) -> int:
    args = parse(ListKeysArguments, "serve key list", arguments)
    table = Table("name", "allows", "created", "revoked")
    for key in read_keys(args.key_file):
        table.add_row(escape(key.name), ", ".join(key.scopes), key.created, key.revoked or "")
    Console().print(table)
    return 0


def _revoke(arguments: Sequence[str]) -> int:
    args = parse(NamedKeyArguments, "serve key revoke", arguments)
    revoke_key(args.key_file, args.key_name)
    say(f"{args.key_name}: revoked")
    return 0
