"""Who writes to a gallery on a Milvus server: a row that says so, for Milvus has no locks."""

import json
import os
import platform
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from facemargin.errors import DataError, OutputError
from facemargin.gallery.milvus_rows import MilvusState
from facemargin.gallery.milvus_tables import MilvusTables

SECONDS = 300.0
"""A process that was killed keeps others from writing for so long."""
_ROW = 1


@contextmanager
def lease(tables: MilvusTables, doing: str) -> Iterator[Callable[[], None]]:
    """Say that this process is `doing` something, within. What is given raises OutputError if another process has begun
    to write, and else renews it. OutputError, which names the process, if one writes already.

    Milvus cannot compare and write in one step: two processes that begin within the same moment are told apart only by
    reading again after a pause, which a server that answers slowly can outlast.
    """
    ours = secrets.token_hex(8)
    _require_free(tables, ours)
    _write(tables, ours, doing)
    time.sleep(0.2)

    def renew() -> None:
        found = _read(tables)
        if found.get("holder") != ours:
            raise OutputError(
                f"{tables.place}: {_described(found)} has begun to write, and only one process at a time can: run this "
                "again; nothing has changed"
            )
        _write(tables, ours, doing)

    renew()
    try:
        yield renew
    finally:
        with suppress(DataError, OutputError):
            if _read(tables).get("holder") == ours:
                tables.delete("about", [_ROW])


def _require_free(tables: MilvusTables, ours: str) -> None:
    found = _read(tables)
    left = found.get("until", 0.0) - time.time() if isinstance(found.get("until"), float) else 0.0
    if found.get("holder") != ours and left > 0:
        raise OutputError(
            f"{tables.place} is being written by {_described(found)}, and only one process at a time can: wait until "
            f"it is done, or, if it was killed, for {left:.0f} seconds, and run this again; nothing has "
            "changed"
        )


def _read(tables: MilvusTables) -> dict[str, Any]:
    rows = list(tables.rows("about", f"row == {_ROW}", ("content",)))
    try:
        found = json.loads(rows[0]["content"]) if rows else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(tables: MilvusTables, ours: str, doing: str) -> None:
    said = {"holder": ours, "process": os.getpid(), "host": platform.node(), "program": Path(sys.argv[0]).name}
    content = json.dumps(said | {"doing": doing, "until": time.time() + SECONDS})
    tables.insert("about", [MilvusState(content, 0, 0, 0, 0).row() | {"row": _ROW}])


def _described(found: dict[str, Any]) -> str:
    if not found:
        return "another process"
    return (
        f"process {found.get('process')!s:.20} on {found.get('host')!s:.60} ({found.get('program')!s:.60}, "
        f"{found.get('doing')!s:.60})"
    )
