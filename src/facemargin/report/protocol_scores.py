"""What `evaluate --protocol` wrote, read for the report."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.folder import ORIGIN_FILE
from facemargin.evaluation.protocols.gallery import GALLERY_WORDS
from facemargin.files.listing import entries


@dataclass(frozen=True)
class Curve:
    """The ROC of one verification experiment. Raises ValueError for what is none."""

    name: str
    impostors: int
    far_T: list[float]
    tar_T: list[float]

    def __post_init__(self) -> None:
        if len(self.far_T) != len(self.tar_T) or not all(0 <= rate <= 1 for rate in self.far_T + self.tar_T):
            raise ValueError(f"the rates of {self.name} are not pairs of numbers from 0 to 1")
        if not 0 < self.impostors < 2**63:
            raise ValueError(f"{self.name} has {self.impostors} impostor pairs")


@dataclass(frozen=True)
class ProtocolScores:
    """One system's figures by a protocol, (name, value or NaN, what stands behind it) each, and its settings in
    words."""

    protocol: str
    system: str
    settings: str
    figures: list[tuple[str, float, str]]
    curves: list[Curve]
    notes: list[str]


def read_protocols(folder: Path) -> list[list[ProtocolScores]]:
    """The systems of every protocol in a run folder's `protocols`; DataError names a file that is malformed."""
    folders = [path for path in entries(folder) if path.is_dir()] if folder.is_dir() else []
    protocols = [
        [_read(path) for path in entries(one) if path.suffix == ".json" and path.name != ORIGIN_FILE] for one in folders
    ]
    return [systems for systems in protocols if systems]


def _read(path: Path) -> ProtocolScores:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return ProtocolScores(
            protocol=str(found["protocol"]),
            system=str(found["system"]),
            settings=_settings(found),
            figures=[(str(one["name"]), _number(one["value"]), str(one["behind"])) for one in found["figures"]],
            curves=[
                Curve(
                    str(one["name"]),
                    int(one["impostors"]),
                    [float(v) for v in one["far_T"]],
                    [float(v) for v in one["tar_T"]],
                )
                for one in found["verification"]
            ],
            notes=[str(note) for note in found["notes"]],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path} is not a protocol's result: {error!r}") from error


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _settings(found: dict[str, Any]) -> str:
    templates = (
        f" in {counted(int(found['templates']), 'template')}, pooled as {found['preset']}" if found["templates"] else ""
    )
    unreadable = (
        f", {int(found['unreadable']):,} of them unreadable ({int(found['failed']):,} without any other match nobody)"
        if found["unreadable"]
        else ""
    )
    ways = dict.fromkeys(GALLERY_WORDS.get(one.get("candidates"), "") for one in found.get("searches", ()))
    gallery = "".join(f"; gallery: {way}" for way in ways if way)
    return (
        f"{found['system']}: {counted(int(found['images']), 'image')}{unreadable}{templates}; views: {found['views']}; "
        f"thresholds: {found['rule']}{gallery}."
    )
