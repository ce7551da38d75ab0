"""`facemargin quality MODEL IMAGES…` and `facemargin quality --check MODEL --data FACES`."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.text import Text

from facemargin.commands._arguments import parse
from facemargin.commands._embedding import EmbeddedImages, EmbeddingArguments, embed_images, warn_of_unreadable
from facemargin.commands._gate import Gate
from facemargin.commands._origin import say_replaced
from facemargin.commands._other_measures import Measured, measure_embedded, require_measures
from facemargin.commands._quality_check import DEFAULT_FACES, CheckOptions, check_model, say_quality_state
from facemargin.commands._say import say
from facemargin.counting import some_of
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_atomically
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class Arguments(EmbeddingArguments):
    """Print the quality of images for recognition by the model's own measure, worst first; higher is better. With
    --check: measure on faces of known people whether this quality helps."""

    images: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGES …")] = ()
    """Image files, folders of images at any depth, and .txt files with paths of images. Faces must be aligned as in
    training."""
    output: Path | None = None
    """A .csv file for all images in the given order, with the columns path, quality and norm (and each --measure;
    and reasons, with --gate). With --check: a .json file for the result, instead of its usual place."""
    rows: int = 20
    """The number of images to print."""
    measure: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MEASURE …")] = ()
    """Other measures of quality, those of `facemargin list measures`, some with settings (serfiq:dropout=0.4). The
    images are in the order of the first. With --check: the measures to check, instead of the model's own."""
    gate: bool = False
    """Also say in words why an image should be taken again: too small, blurred, noisy, too dark, turned away and the
    like, measured without the network. The table and the .csv file get a column with the reasons. Size and pose are
    measured with --detect only."""
    check: bool = False
    """Instead of IMAGES, check the quality: does it fall when faces are degraded, do pictures without a face rank below
    faces, and does discarding by it avoid errors? The result is kept with the model, and shown with its qualities."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FACES")] = None
    """With --check: a folder with one folder per person, or any other training set. The model must not have been
    trained on these people."""
    faces: int | None = None
    """With --check: the largest number of faces to take, of as many people as possible. The default is 1000."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "quality", arguments)
    if args.check:
        return _check(args)
    for name in ("data", "faces"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name} is for checking a quality: add --check, or remove --{name}")
    if args.rows < 1:
        raise ConfigError(f"--rows is {args.rows}, expected at least 1")
    if args.output is not None and args.output.suffix != ".csv":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .csv")
    require_measures(args.measure)
    gate = Gate() if args.gate else None
    embedded = embed_images(args, None if gate is None else gate.measure, args.measure)
    measured = measure_embedded(embedded)
    reasons = None if gate is None else [gate.words(index) for index in embedded.indices]
    console = Console()
    if args.output is not None:
        say_replaced(args.output)
        write_atomically(args.output, lambda path: _write_csv(embedded, measured, reasons, path))
    console.print(_table(embedded, measured, reasons, args.rows))
    more = len(embedded.paths) - args.rows
    if more > 0:
        say(f"and {more:,} more")
    warn_of_unreadable(embedded.unreadable, len(embedded.paths), args.detect)
    if gate is not None:
        gate.say_failures(embedded.indices, args.detect)
    say_quality_state(args.model, embedded.model, args.measure)
    if args.output is not None:
        say(f"all {len(embedded.paths):,}: {args.output}")
    return 0


def _check(args: Arguments) -> int:
    if args.images:
        raise ConfigError(
            f"--check takes its faces from --data, so it has no use for {some_of(args.images)}: remove this, or --check"
        )
    if args.gate:
        raise ConfigError("--gate is for images, not for checking a quality: remove --gate, or --check")
    if args.data is None:
        raise ConfigError("--check needs --data with faces of known people: a folder with one folder per person")
    if args.output is not None and args.output.suffix != ".json":
        raise ConfigError(f"--output is {args.output}, expected with --check a name that ends in .json")
    faces = DEFAULT_FACES if args.faces is None else args.faces
    require_measures(args.measure)
    return check_model(args, CheckOptions(args.data, faces, args.output, args.measure))


def _table(embedded: EmbeddedImages, measured: Measured, reasons: list[str] | None, rows: int) -> Table:
    """The `rows` images of lowest quality, worst first, by the first of the other measures, or else the model's own;
    and the `reasons` of each."""
    table = Table()
    table.add_column("image, worst first", overflow="fold")
    columns = measured or {embedded.measure: embedded.embeddings.quality}
    for name in columns:
        table.add_column(f"quality:\n{name}", justify="right")
    if reasons is not None:
        table.add_column("reasons to take it again", overflow="fold")
    for index in np.argsort(next(iter(columns.values())), kind="stable")[:rows]:
        name = os.fsencode(embedded.paths[index]).decode(errors="replace")
        qualities = [f"{quality_N[index]:.4g}" for quality_N in columns.values()]
        table.add_row(Text(name), *qualities, *([] if reasons is None else [reasons[index]]))
    return table


def _write_csv(embedded: EmbeddedImages, measured: Measured, reasons: list[str] | None, path: Path) -> None:
    # surrogateescape: names of files that are not UTF-8 are written byte for byte.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        others = {name: values for name, values in measured.items() if name != "norm"}
        columns = [embedded.paths, embedded.embeddings.quality, embedded.embeddings.norms, *others.values()]
        writer.writerow(["path", "quality", "norm", *others, *([] if reasons is None else ["reasons"])])
        writer.writerows(zip(*columns, *([] if reasons is None else [reasons]), strict=True))
