"""`facemargin calibrate MODEL --pairs SET --output calibration.json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands.arguments import parse
from facemargin.commands.origin import say_replaced
from facemargin.commands.progress import embedding_progress
from facemargin.data.open import open_verification
from facemargin.errors import ConfigError
from facemargin.inference import load
from facemargin.inference.calibrate import calibrate
from facemargin.inference.calibration import ENOUGH, Calibration
from facemargin.inference.views import Views
from facemargin.tables import Table


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Find the thresholds of a model on verification pairs, and the quality below which it should not decide. Take
    pairs of the cameras and people that it is to decide on, aligned as those will be."""

    model: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="MODEL")]
    """A run folder or a model file."""
    pairs: Annotated[str, tyro.conf.arg(metavar="SET")]
    """A verification set, as for facemargin evaluate."""
    output: Path
    """The .json file to write; one that is there is replaced."""
    floor_percentile: float = 1.0
    """The quality floor: images worse than all but this percentage of those in the pairs are too poor to decide."""
    max_fnmr: float | None = None
    """Instead of that: the quality below which genuine pairs are falsely not matched more often than this."""
    views: Views | None = None
    """Views of an image to average; by default the model's own."""


def main(arguments: Sequence[str]) -> int:
    own = parse(Arguments, "calibrate", arguments)
    if own.output.suffix != ".json":
        raise ConfigError(f"--output is {own.output}, expected a name that ends in .json")
    pairs = open_verification(own.pairs)
    model = load(own.model)
    with embedding_progress(Console(stderr=True), pairs.name) as progress:
        found = calibrate(model, pairs, own.floor_percentile, own.max_fnmr, own.views, progress)
    say_replaced(own.output)
    found.save(own.output)
    console = Console()
    console.print(_table(found))
    console.print(
        f"{found.impostors:,} impostor and {found.genuine:,} genuine pairs of {found.pairs}, quality: {found.quality}, "
        f"floor by {found.floor_rule}; {own.output}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    return 0


def _table(found: Calibration) -> Table:
    table = Table("FMR", "threshold", "impostors", "95 % of FMR", "FNMR", "floor", "too poor")
    for point in found.thresholds:
        low, high = point.fmr_interval
        few = "" if found.impostors * point.target_fmr >= ENOUGH else " (few)"
        table.add_row(
            f"{point.target_fmr:g}",
            f"{point.threshold:.4f}",
            f"{point.impostors_accepted:,}{few}",
            f"{low:.2g} – {high:.2g}",
            f"{100 * point.fnmr:.2f} %",
            f"{point.quality_floor:.4g}",
            f"{100 * point.too_poor:.1f} %",
        )
    return table
