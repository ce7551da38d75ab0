"""Plugins: modules of other installed packages, which are entry points of the group GROUP. The name of an entry point
is the kind of thing that the module adds.

    [project.entry-points."facemargin.plugins"]
    margins = "my_package.margins"

A module registers what it adds when it is imported. It is imported when a name of its kind is first looked up.
"""

import difflib
import logging
from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "facemargin.plugins"

KINDS = (
    "backbones",
    "detectors",
    "families",
    "formats",
    "margins",
    "measures",
    "metrics",
    "models",
    "pair_formats",
    "protocols",
    "verbs",
    "writers",
)
"""The kinds of things that a plugin can add."""

logger = logging.getLogger(__name__)


def has_plugins(kind: str) -> bool:
    """Whether an installed package adds something of the `kind`."""
    return any(entry.name == kind for entry in _plugin_entries())


@cache  # so that the warning about a module that cannot be imported appears once
def import_plugins(kind: str) -> None:
    """Import the modules of plugins for `kind`. A module that cannot be imported is named in a warning. What it would
    have added is missing then; everything else works."""
    for entry in _plugin_entries():
        if entry.name == kind:
            try:
                entry.load()
            except Exception as error:  # whatever a stranger's module raises
                logger.warning(
                    "the %s of the package %s are missing: its module %s cannot be imported (%s: %s)",
                    kind, _package(entry), entry.value, type(error).__name__, error,
                )  # fmt: skip


@cache
def _plugin_entries() -> tuple[EntryPoint, ...]:
    """The entry points of all packages, sorted by package. An entry point of an unknown kind is named in a warning."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry), entry.name, entry.value))
    for entry in entries:
        if entry.name not in KINDS:
            near = difflib.get_close_matches(entry.name, KINDS, n=1)
            hint = f"did it mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
            logger.warning(
                "the package %s adds %r to facemargin by %s, which is not a kind of plugin; %s",
                _package(entry), entry.name, entry.value, hint,
            )  # fmt: skip
    return tuple(dict.fromkeys(entries))


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else ""
