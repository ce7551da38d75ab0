"""What other installed packages add: modules that they name as entry points of the group GROUP, by kind.

    [project.entry-points."facemargin.plugins"]
    margins = "my_package.margins"

A module registers what it adds when it is imported, and is imported when names of its kind are first looked up.
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
    "metrics",
    "models",
    "pair_formats",
    "protocols",
    "verbs",
    "writers",
)
"""What can be added."""

logger = logging.getLogger(__name__)


def has_plugins(kind: str) -> bool:
    """Whether an installed package adds something of the `kind`."""
    return any(entry.name == kind for entry in _plugin_entries())


@cache  # what a module that cannot be imported lacks is said once
def import_plugins(kind: str) -> None:
    """Import the modules that installed packages name for `kind`. One that cannot be imported is named in a warning:
    what it would have added is missing, everything else works."""
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
    """The entry points of all packages, in the order of the packages' names; a warning for one of no known kind."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry), entry.name, entry.value))
    for entry in entries:
        if entry.name not in KINDS:
            near = difflib.get_close_matches(entry.name, KINDS, n=1)
            hint = f"did it mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
            logger.warning(
                "the package %s adds %r to facemargin by %s, which is no kind of thing that can be added; %s",
                _package(entry), entry.name, entry.value, hint,
            )  # fmt: skip
    return tuple(dict.fromkeys(entries))


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else ""
