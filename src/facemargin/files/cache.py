"""The folder of what can be made or fetched again: $XDG_CACHE_HOME/facemargin, by default ~/.cache/facemargin."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder, whether it exists or not."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "facemargin"
