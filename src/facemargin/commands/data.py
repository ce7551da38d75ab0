"""`facemargin data inspect SRC`, and the other actions of `facemargin data`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape

from facemargin.auditing.plane import EMBEDDINGS, Plane, embedded_plane
from facemargin.commands import _data_clean, _data_review
from facemargin.commands._actions import Actions, run_action
from facemargin.commands._arguments import parse
from facemargin.commands._data_clean import CleanArguments
from facemargin.commands._data_picture import PICTURE_SUFFIXES, draw_inspection
from facemargin.commands._data_review import ReviewArguments
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.data.findings import NOISE_AND_COPIES
from facemargin.data.inspection import Duplicates, Inspection, inspect_images
from facemargin.data.open import open_images
from facemargin.data.source import LabeledImages
from facemargin.errors import ConfigError
from facemargin.files.atomic import write_atomically
from facemargin.tables import Table
from facemargin.training.audited_data import FoundImages

_SHOWN = 5
_BINS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True, kw_only=True)
class InspectArguments:
    """Read a whole training set and describe it: identities, sizes, corrupt and duplicate images."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SRC")]
    """A folder with train.rec, shards, parquet files, an image list, a folder with one folder per person, or another
    format of `facemargin list formats`."""
    picture: Path | None = None
    """Draw images per identity, image sizes and some faces to this .svg or .png file."""
    audit: Path | None = None
    """With --picture: the folder of an audit of this set (facemargin audit), whose surest findings are also shown, and
    the plane of norms and cosines by its embeddings."""
    json: bool = False
    """Print JSON instead of a table."""
    root: Path | None = None
    """The folder to which the paths in an image list are relative. The default is the folder of the list."""


@dataclass(frozen=True, kw_only=True)
class Arguments(CleanArguments, ReviewArguments, InspectArguments):
    """The options of all actions, for the completion of a shell."""


_ACTIONS: Actions = {
    "inspect": ("read a whole training set and describe it", lambda arguments: _inspect(arguments)),
    "review": ("write the page on which to decide on the findings of an audit", _data_review.main),
    "clean": ("write a training set anew by the decisions on an audit", _data_clean.main),
}


def main(arguments: Sequence[str]) -> int:
    return run_action("data", "…", _ACTIONS, arguments, "inspect path/to/faces")


def _inspect(arguments: Sequence[str]) -> int:
    args = parse(InspectArguments, "data inspect", arguments)
    if args.picture is not None and args.picture.suffix not in PICTURE_SUFFIXES:
        raise ConfigError(f"--picture is {args.picture}, expected a name that ends in {' or '.join(PICTURE_SUFFIXES)}")
    if args.audit is not None and args.picture is None:
        raise ConfigError("--audit adds faces to the picture: add --picture, or remove --audit")
    source = open_images(args.source, args.root)
    found = None if args.audit is None else FoundImages(source, args.audit, NOISE_AND_COPIES)
    plane = None if args.audit is None else _plane(args.audit, source)
    with embedding_progress(Console(stderr=True), source.name, "inspecting") as report:
        inspection = inspect_images(source, report)
    if args.picture is not None:
        picture = args.picture
        write_atomically(
            picture, lambda path: draw_inspection(inspection, source, path, picture.suffix[1:], found, plane)
        )
    if args.json:
        say(json.dumps(summary(source, inspection), indent=1))  # for other programs: as it is
    else:
        print_tables(Console(), source, inspection)
        say(f"wrong labels, near copies and pictures of nobody: facemargin audit --model MODEL --data {args.source}")
    return 0


def _plane(audit: Path, source: LabeledImages) -> Plane | None:
    folder = audit / EMBEDDINGS
    if not folder.is_dir():
        say(
            f"note: {audit} keeps no embeddings (facemargin audit --model MODEL --output does), so the plane of norms "
            "and cosines is not drawn",
            stderr=True,
        )
        return None
    return embedded_plane(folder, source)


def summary(source: LabeledImages, inspection: Inspection) -> dict[str, Any]:
    """The content of `--json`."""
    counts_C = inspection.images_per_identity_C
    return {
        "name": source.name,
        "images": len(source),
        "unlabelled": source.num_unlabeled,
        "identities": source.num_identities,
        "images_per_identity": {
            "min": int(counts_C.min()),
            "median": float(np.median(counts_C)),
            "max": int(counts_C.max()),
            "histogram": histogram(counts_C),
        },
        "sizes": [{"height": size[0], "width": size[1], "images": n} for size, n in inspection.sizes.most_common()],
        "corrupt": list(inspection.corrupt.values()),
        "same_bytes": _duplicates(source, inspection.same_bytes),
        "same_pixels": _duplicates(source, inspection.same_pixels),
    }


def histogram(counts_C: NDArray[np.int64]) -> list[dict[str, int | None]]:
    """How many identities have `from` to `to` images (both included; null means no upper limit). Empty entries at the
    end are left out."""
    rows: list[dict[str, int | None]] = []
    for low, high in zip([0, *_BINS], [*_BINS, None], strict=True):
        within_C = (counts_C >= low) & (True if high is None else counts_C < high)
        rows.append({"from": low, "to": None if high is None else high - 1, "identities": int(within_C.sum())})
    while len(rows) > 1 and not rows[-1]["identities"]:
        rows.pop()
    return rows


def print_tables(console: Console, source: LabeledImages, inspection: Inspection) -> None:
    """Print the results, and the first problems."""
    counts_C = inspection.images_per_identity_C
    table = Table(title=escape(source.name), title_justify="left", show_header=False)
    sizes = [f"{height} × {width}: {number:,}" for (height, width), number in inspection.sizes.most_common(_SHOWN)]
    more = len(inspection.sizes) - len(sizes)
    rows = {
        "images": f"{len(source):,}"
        + (f", and {source.num_unlabeled:,} without a label" if source.num_unlabeled else ""),
        "identities": f"{source.num_identities:,}" + ("" if source.has_names else ", without names"),
        "images per identity": f"{counts_C.min():,} to {counts_C.max():,}, median {np.median(counts_C):g}",
        "sizes (height × width)": "\n".join(sizes + ([f"and {more:,} others"] if more else [])),
        "corrupt images": f"{len(inspection.corrupt):,}",
        "duplicates by bytes": _duplicate_text(inspection.same_bytes),
        "duplicates by pixels": _duplicate_text(inspection.same_pixels),
    }
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table, highlight=False, markup=False)
    identities = Table("images", "identities", title="images per identity", title_justify="left")
    for row in histogram(counts_C):
        low, high = row["from"], row["to"]
        span = f"{low:,}" if low == high else f"{low:,} or more" if high is None else f"{low:,} to {high:,}"
        identities.add_row(span, f"{row['identities']:,}")
    console.print(identities, highlight=False, markup=False)
    for message in list(inspection.corrupt.values())[:_SHOWN]:
        say(message)
    across = [
        group
        for group, differ in zip(inspection.same_pixels.groups, inspection.same_pixels.across, strict=True)
        if differ
    ]
    for group in across[:_SHOWN]:
        places = ", ".join(_described(source, index) for index in group[:_SHOWN])
        say(f"the same image of different identities: {places}")


def _duplicates(source: LabeledImages, duplicates: Duplicates) -> dict[str, Any]:
    return {
        "superfluous": duplicates.num_superfluous,
        "groups_across_identities": duplicates.num_across,
        "groups": [
            {"images": [_described(source, index) for index in group], "across_identities": across}
            for group, across in zip(duplicates.groups, duplicates.across, strict=True)
        ],
    }


def _duplicate_text(duplicates: Duplicates) -> str:
    return (
        f"{duplicates.num_superfluous:,} superfluous images in {len(duplicates.groups):,} groups, "
        f"{duplicates.num_across:,} of them across identities"
    )


def _described(source: LabeledImages, index: int) -> str:
    return f"{source.describe(index)} (identity {source.identity_names[source.labels[index]]})"
