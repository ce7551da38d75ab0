"""Reads the files of `evaluate --protocol` for the report."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facemargin.counting import counted
from facemargin.errors import DataError
from facemargin.evaluation.differences_file import ProtocolDifferences, read_differences
from facemargin.evaluation.folder import DIFFERENCES_FILE, ORIGIN_FILE
from facemargin.evaluation.protocols.gallery import GALLERY_WORDS
from facemargin.files.listing import entries


@dataclass(frozen=True)
class Curve:
    """The ROC of one verification experiment. Raises ValueError for invalid rates or numbers of pairs."""

    name: str
    impostors: int
    far_T: list[float]
    tar_T: list[float]

    def __post_init__(self) -> None:
        if len(self.far_T) != len(self.tar_T) or not all(0 <= rate <= 1 for rate in self.far_T + self.tar_T):
            raise ValueError(f"the rates of {self.name} are not all numbers from 0 to 1, one TAR per FAR")
        if not 0 < self.impostors < 2**63:
            raise ValueError(f"{self.name} has {self.impostors} impostor pairs, expected at least 1")


@dataclass(frozen=True)
class ProtocolScores:
    """The figures of one system by a protocol, each (name, value or NaN, the pairs or probes that it rests on), and its
    settings in words."""

    protocol: str
    system: str
    settings: str
    figures: list[tuple[str, float, str]]
    curves: list[Curve]
    notes: list[str]


def read_protocols(folder: Path) -> list[list[ProtocolScores]]:
    """The systems of every protocol in a run folder's `protocols`. Raises DataError, which names the file, for a
    malformed file."""
    folders = [path for path in entries(folder) if path.is_dir()] if folder.is_dir() else []
    protocols = [
        [
            _read(path)
            for path in entries(folder)
            if path.suffix == ".json" and path.name not in (DIFFERENCES_FILE, ORIGIN_FILE)
        ]
        for folder in folders
    ]
    return [systems for systems in protocols if systems]


def read_protocol_differences(folder: Path) -> dict[str, ProtocolDifferences]:
    """The differences of systems that were evaluated together, by the folder name of their protocol in a run folder's
    `protocols`. Raises DataError, which names the file, for a malformed file."""
    folders = [path for path in entries(folder) if path.is_dir()] if folder.is_dir() else []
    files = {path.name: path / DIFFERENCES_FILE for path in folders}
    return {name: read_differences(path) for name, path in files.items() if path.is_file()}


def _read(path: Path) -> ProtocolScores:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return ProtocolScores(
            protocol=str(content["protocol"]),
            system=str(content["system"]),
            settings=_settings(content),
            figures=[
                (str(entry["name"]), _number(entry["value"]), str(entry["behind"])) for entry in content["figures"]
            ],
            curves=[
                Curve(
                    str(entry["name"]),
                    int(entry["impostors"]),
                    [float(v) for v in entry["far_T"]],
                    [float(v) for v in entry["tar_T"]],
                )
                for entry in content["verification"]
            ],
            notes=[str(note) for note in content["notes"]],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path} is not a protocol's result: {error!r}") from error


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _settings(content: dict[str, Any]) -> str:
    templates = (
        f" in {counted(int(content['templates']), 'template')}, pooled as {content['preset']}"
        if content["templates"]
        else ""
    )
    unreadable = (
        f", {int(content['unreadable']):,} of them unreadable ({int(content['failed']):,} without any readable "
        "image match nobody)"
        if content["unreadable"]
        else ""
    )
    ways = dict.fromkeys(GALLERY_WORDS.get(search.get("candidates"), "") for search in content.get("searches", ()))
    gallery = "".join(f"; gallery: {way}" for way in ways if way)
    return (
        f"{content['system']}: {counted(int(content['images']), 'image')}{unreadable}{templates}; views: "
        f"{content['views']}; thresholds: {content['rule']}{gallery}."
    )
