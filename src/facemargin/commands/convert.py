"""`facemargin convert SRC DST --to FORMAT`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.conversion import convert
from facemargin.data.open import open_images
from facemargin.data.writers.base import WriterName

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Write a training set in another format. Image bytes are copied unchanged, except for rare formats such as TIFF
    and HEIC, which become PNG. The output is read back and compared. Corrupt images are named and left out. If it is
    interrupted, the same command continues."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SRC")]
    """A folder with train.rec, shards, parquet files, an image list, a folder with one folder per person, or another
    format of `facemargin list formats`."""
    destination: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="DST")]
    """The folder to write, which must not exist yet."""
    to: WriterName = "recordio"
    """The format to write."""
    root: Path | None = None
    """The folder to which the paths in an image list are relative. The default is the folder of the list."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "convert", arguments)
    source = open_images(args.source, args.root)
    errors = Console(stderr=True)
    result = convert(source, args.destination, args.to, lambda doing: embedding_progress(errors, source.name, doing))
    for message in result.corrupt[:_SHOWN]:
        say(message, stderr=True)
    if result.corrupt:
        named = "they are named above" if len(result.corrupt) <= _SHOWN else f"the first {_SHOWN} are named above"
        say(
            f"warning: {len(result.corrupt):,} of {counted(len(source), 'image')} cannot be read and are left "
            f"out; {named}",
            stderr=True,
        )
    if source.num_unlabeled:
        say(
            "warning: images with a negative label, which means an unknown person, were left out: "
            f"{source.num_unlabeled:,}",
            stderr=True,
        )
    if result.num_as_png:
        count = "1 image is" if result.num_as_png == 1 else f"{result.num_as_png:,} images are"
        say(
            f"{count} in a format that few programs read (TIFF, GIF, HEIC, …) and written as PNG, which is lossless",
            stderr=True,
        )
    before = f", {result.num_before:,} of them before" if result.num_before else ""
    say(
        f"{counted(result.num_images, 'image')} written as {args.to}{before}, read back and the same; "
        f"{args.destination}"
    )
    return 0
