"""The groups of `facemargin evaluate --groups`: read from a file, measured, printed, and written for the report."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from facemargin.commands._say import say
from facemargin.counting import counted, some_of
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import PairScores
from facemargin.evaluation.folder import GROUPS_FILE, slug
from facemargin.evaluation.groups import DEFAULT_FMR, ImageGroups, groups_of
from facemargin.evaluation.groups_table import groups_tables
from facemargin.evaluation.plain import plain
from facemargin.features.groups_file import GroupsFile
from facemargin.files.atomic import write_atomically, write_text_atomically


@dataclass(frozen=True)
class GroupOptions:
    """The options --groups, --fmr and --threshold."""

    groups: Path | None
    fmr: float | None
    threshold: float | None

    def read(self, sets: Sequence[VerificationSet], models: int) -> list[ImageGroups] | None:
        """The groups of each set; None without --groups. Raises ConfigError for options that fit neither each other nor
        the models, and DataError for a file or sets without what the rates need."""
        if self.groups is None:
            for name, value in (("fmr", self.fmr), ("threshold", self.threshold)):
                if value is not None:
                    raise ConfigError(f"--{name} is that of the rates by group: add --groups, or remove it")
            return None
        if self.fmr is not None and self.threshold is not None:
            raise ConfigError("--fmr chooses a threshold and --threshold gives one: remove one of them")
        if self.threshold is not None and models > 1:
            raise ConfigError(
                f"--threshold is given for {counted(models, 'model')}, whose scores have scales of their own: give one "
                "model, or --fmr"
            )
        if self.fmr is not None and not 0 < self.fmr < 1:
            raise ConfigError(f"--fmr is {self.fmr:g}, expected a rate between 0 and 1, such as 0.01")
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise ConfigError(f"--threshold is {self.threshold}, expected a finite number")
        for pairs in sets:
            if pairs.identities_N is None:
                raise DataError(
                    f"{pairs.name} does not say which people its pairs show, which --groups needs: pairs that share a "
                    "person are not independent"
                )
        fmr = DEFAULT_FMR if self.fmr is None and self.threshold is None else self.fmr
        file = GroupsFile(self.groups)
        found = [ImageGroups.of(pairs, file.of(pairs), fmr, self.threshold) for pairs in sets]
        if unused := file.unused(sets):
            what = "image" if file.key == "image" else "person"
            plural = "images" if file.key == "image" else "people"
            say(f"{self.groups} has {counted(len(unused), what, plural)} that no set has: {some_of(unused)}", "note")
        return found


def show_groups(groups: ImageGroups, names: Sequence[str], place: Path, console: Console) -> None:
    """Print the tables of every system in the folder `place`, add their figures to its .json file, and write the groups
    for the report."""
    for name in names:
        found = groups_of(PairScores.load(place / f"{slug(name)}.npz"), groups)
        for of_column in found:
            for table in groups_tables(of_column):
                console.print(table)
        path = place / f"{slug(name)}.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["groups"] = {of_column.column: plain(of_column) for of_column in found}
        write_text_atomically(path, json.dumps(content, indent=2, allow_nan=False))
    write_atomically(place / GROUPS_FILE, groups.save)
