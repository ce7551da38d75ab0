"""The part of a report that says of whom and of what its figures are, for whoever wants to have them again."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath

from facemargin.evaluation.folder import EVALUATION_FOLDER, ORIGIN_FILE, PROTOCOLS_FOLDER
from facemargin.evaluation.origin import Making, Origin, read_making, read_origin
from facemargin.files.listing import entries
from facemargin.report.blocks import Block, Cell, Notes, Table, TableBlock

NOT_KNOWN = "not recorded"


@dataclass(frozen=True)
class FolderOrigin:
    """The data and the systems of a folder of figures, and how the figures were made. The names of the systems are
    those of their files."""

    folder: str
    data: Origin
    systems: dict[str, Origin]
    making: dict[str, Making]
    missing: tuple[Origin, ...] = ()


def read_origins(folder: Path) -> list[FolderOrigin]:
    """What the folders of figures in a run folder say of themselves. Raises DataError for a damaged file."""
    places = [folder / kind for kind in (EVALUATION_FOLDER, PROTOCOLS_FOLDER)]
    found = []
    for place in [path for kind in places if kind.is_dir() for path in entries(kind) if path.is_dir()]:
        known = read_origin(place / ORIGIN_FILE)
        if known is not None:
            data, systems = known
            # A run of a comparison that failed, or whose file was deleted, has no scores beside those of the others.
            scored = {name: origin for name, origin in systems.items() if (place / f"{name}.npz").is_file()}
            missing = [origin for name, origin in systems.items() if scored and name not in scored]
            found.append(
                FolderOrigin(place.name, data, scored or systems, read_making(place / ORIGIN_FILE), tuple(missing))
            )
    return found


def latest_date(origins: list[FolderOrigin]) -> str:
    """The date of the newest figures; empty if none is known."""
    return max((one.date for origin in origins for one in origin.making.values()), default="")


def origin_blocks(origins: list[FolderOrigin]) -> Iterator[Block]:
    """The tables of data sets and systems, and the commands."""
    rows = [(_name(one.data), [Cell(one.data.fingerprint), Cell(one.folder)]) for one in origins]
    yield TableBlock("origin-data", "Data", Table(["Fingerprint", "Folder of its figures"], rows), "Data")
    yield TableBlock("origin-systems", "Systems", Table(list(_HEADINGS), list(_systems(origins))), "System")
    commands = dict.fromkeys(one.command for origin in origins for one in origin.making.values() if one.command)
    lost = [
        f"Left out: {_name(system)} has no scores on {_name(one.data)}: it failed, or its file was deleted."
        for one in origins
        for system in one.missing
    ]
    yield Notes([*lost, *(f"Command: {command}" for command in commands)])


_HEADINGS = ("Model", "Loss", "Fingerprint", "Date", "Versions")


def _systems(origins: list[FolderOrigin]) -> Iterator[tuple[str, list[Cell]]]:
    """One row per system, or several if its figures on several data sets were not made alike."""
    seen: dict[tuple[str, ...], None] = {}
    for origin in origins:
        for name, system in origin.systems.items():
            how = origin.making.get(name, Making())
            texts = (_name(system), how.loss, system.fingerprint, how.date, how.versions)
            seen[(name, *(text or NOT_KNOWN for text in texts))] = None
    for name, *cells in seen:
        yield name, list(map(Cell, cells))


def _name(origin: Origin) -> str:
    """The name that the user gave, without the folders of an absolute path, which are nobody's business."""
    return PurePath(origin.name).name if PurePath(origin.name).is_absolute() else origin.name
