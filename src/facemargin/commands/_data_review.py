"""`facemargin data review FACES --audit DIR`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.auditing import load_audit
from facemargin.commands._arguments import parse
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.open import open_images
from facemargin.errors import ConfigError
from facemargin.report.audit_page import MOST_FINDINGS, PAGE_FILE, write_audit_page


@dataclass(frozen=True, kw_only=True)
class ReviewArguments:
    """Write audit.html into the folder of an audit: its findings as faces side by side, to accept or reject with the
    keyboard. The page is one file that works offline, and holds small pictures of the faces."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FACES")]
    """The training set that was audited, wherever it lies now."""
    audit: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """The folder with findings.csv and audit.json."""
    most: int = MOST_FINDINGS
    """The number of findings to show at most, the surest of each kind in turn. The page grows by about 10 kB for
    each."""
    root: Path | None = None
    """The folder to which the paths in an image list are relative. The default is the folder of the list."""


def main(arguments: Sequence[str]) -> int:
    args = parse(ReviewArguments, "data review", arguments)
    if args.most < 1:
        raise ConfigError(f"--most is {args.most}, expected 1 or more")
    audit, images = load_audit(args.audit), open_images(args.source, args.root)
    path = args.audit / PAGE_FILE
    with embedding_progress(Console(stderr=True), images.name, "reading faces") as report:
        shown = write_audit_page(audit, images, path, report, args.most)
    if shown < len(audit):
        say(
            f"not shown: {len(audit) - shown:,} of {counted(len(audit), 'finding')}; --most shows more",
            "note",
            stderr=True,
        )
    say(f"{counted(shown, 'finding')}, {path.stat().st_size / 1e6:.1f} MB: {path}")
    return 0
