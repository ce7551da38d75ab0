"""`facemargin quality MODEL IMAGES…`."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.text import Text

from facemargin.commands._arguments import parse
from facemargin.commands._embedding import EmbeddedImages, EmbeddingArguments, embed_images, warn_of_unreadable
from facemargin.commands._origin import say_replaced
from facemargin.commands._say import say
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_atomically
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class Arguments(EmbeddingArguments):
    """Print the quality of images for recognition by the model's own measure, worst first; higher is better."""

    output: Path | None = None
    """A .csv file for all images in the given order, with the columns path, quality and norm."""
    rows: int = 20
    """The number of images to print."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "quality", arguments)
    if args.rows < 1:
        raise ConfigError(f"--rows is {args.rows}, expected at least 1")
    if args.output is not None and args.output.suffix != ".csv":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .csv")
    embedded = embed_images(args)
    console = Console()
    if args.output is not None:
        say_replaced(args.output)
        write_atomically(args.output, lambda path: _write_csv(embedded, path))
    console.print(_table(embedded, args.rows))
    more = len(embedded.paths) - args.rows
    if more > 0:
        say(f"and {more:,} more")
    warn_of_unreadable(embedded.unreadable, len(embedded.paths), args.detect)
    if args.output is not None:
        say(f"all {len(embedded.paths):,}: {args.output}")
    return 0


def _table(embedded: EmbeddedImages, rows: int) -> Table:
    """The `rows` images of lowest quality, worst first."""
    table = Table()
    table.add_column("image, worst first", overflow="fold")
    table.add_column(f"quality:\n{embedded.measure}", justify="right")
    quality_N = embedded.embeddings.quality
    for index in np.argsort(quality_N, kind="stable")[:rows]:
        name = os.fsencode(embedded.paths[index]).decode(errors="replace")
        table.add_row(Text(name), f"{quality_N[index]:.4g}")
    return table


def _write_csv(embedded: EmbeddedImages, path: Path) -> None:
    # surrogateescape: names of files that are not UTF-8 are written byte for byte.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["path", "quality", "norm"])
        writer.writerows(zip(embedded.paths, embedded.embeddings.quality, embedded.embeddings.norms, strict=True))
