"""Saves the result of scanning a large file, so that it need not be scanned again.

The result is stored as JSON in `<file>.index.json` in the same folder or, if that folder cannot be written, in the
user's cache folder. It is valid for the file's size and time of change; otherwise the file is scanned again.
"""

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from facemargin.errors import OutputError
from facemargin.files.atomic import write_text_atomically
from facemargin.files.cache import cache_folder

_FORMAT = 2
SUFFIX = ".index.json"

logger = logging.getLogger(__name__)


def saved_scan(
    path: Path, scan: Callable[[], dict[str, Any]], is_valid: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """What `scan()` says of the file at `path`, from an earlier time if there is one that holds and `is_valid`.

    An index may come from elsewhere together with its file: `is_valid` has to check types and ranges. An index that
    cannot be saved anywhere is only made again next time.
    """
    status = path.stat()
    state = {"format": _FORMAT, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    places = (path.with_name(path.name + SUFFIX), cache_folder() / f"{_digest(path)}{SUFFIX}")
    for place in places:
        result = _load(place, state)
        if result is not None and is_valid(result):
            return result
    result = scan()
    text = json.dumps(state | {"found": result}, separators=(",", ":"))
    for place in places:
        try:
            write_text_atomically(place, text)
        except OutputError as error:
            logger.debug("%s", error)
        else:
            break
    return result


def _load(place: Path, state: dict[str, int]) -> dict[str, Any] | None:
    try:
        content = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or any(content.get(key) != value for key, value in state.items()):
        return None
    scan = content.get("found")
    return scan if isinstance(scan, dict) else None


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path.resolve()).encode(errors="surrogateescape")).hexdigest()[:32]
