"""The `facemargin` command: finds the command in the arguments, runs it, and prints errors as one clear line."""

import logging
import shutil
import sys
import textwrap
from collections.abc import Sequence

from facemargin.commands._verbs import list_verbs, run_verb
from facemargin.errors import FacemarginError
from facemargin.registry import unknown_name
from facemargin.version import __version__

_MARGIN = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. 2: bad usage or input, 130: interrupted."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if logging.lastResort is not None:  # prints the warnings that the library logs
        logging.lastResort.setFormatter(_WithLevel())
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(_usage(shutil.get_terminal_size().columns))
        return 0 if arguments else 2
    if arguments[0] == "--version":
        sys.stdout.write(f"facemargin {__version__}\n")
        return 0
    verb, *rest = arguments
    if verb not in (verbs := list_verbs()):
        sys.stderr.write(f"{unknown_name('command', verb, verbs)}\n")
        return 2
    try:
        return run_verb(verb, rest)
    # OSError: for example a folder without write permission, or a full disk.
    except (FacemarginError, OSError) as error:
        sys.stderr.write(f"facemargin {verb}: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130


class _WithLevel(logging.Formatter):
    """Messages begin like all others: "warning: …"."""

    def format(self, record: logging.LogRecord) -> str:
        return f"{record.levelname.lower()}: {super().format(record)}"


def _usage(columns: int) -> str:
    verbs = list_verbs()
    indent = max(map(len, verbs)) + 2 * _MARGIN
    lines = []
    for verb, what in verbs.items():
        first, *others = textwrap.wrap(what, max(columns - indent, 20), break_long_words=False, break_on_hyphens=False)
        lines.append(f"{' ' * _MARGIN}{verb}".ljust(indent) + first)
        lines += [" " * indent + other for other in others]
    return "\n".join(["usage: facemargin COMMAND …", "", *lines, "", "facemargin COMMAND --help says more.", ""])


if __name__ == "__main__":
    sys.exit(main())
