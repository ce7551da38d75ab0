"""Reports the files and folders that a reader of folders skips, in one warning, so that nothing is skipped silently."""

import logging
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from facemargin.counting import counted
from facemargin.data.images.heic import HEIC_SUFFIXES, NEEDS_EXTRA, reads_heic
from facemargin.data.images.kind import image_suffix
from facemargin.files.listing import is_image_name, is_system_name

_SHOWN = 5
_BEGINNING = 64

logger = logging.getLogger(__name__)


@dataclass
class PassedOver:
    """The counts and first names of what is not read: `suffixes` of files that are not images, folders of `people`
    without images, images `beside` the folders of people, `folders` inside these, and `system` folders that contain
    images."""

    suffixes: Counter[str] = field(default_factory=Counter)
    people: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    system: list[str] = field(default_factory=list)
    unreadable_heic: int = 0

    def note_image(self, path: Path) -> None:
        """Record an image that is kept, in case its format cannot be read on this machine."""
        if path.suffix.lower() in HEIC_SUFFIXES and not reads_heic() and _is_heic(path):
            self.unreadable_heic += 1

    def note_system(self, folder: Path) -> None:
        """Record folders of the system in `folder`, if they contain images."""
        self.system += [path.name for path in sorted(folder.iterdir()) if _hides_images(path)]

    def say(self, name: str) -> None:
        """Log what was skipped in the folder called `name`, if anything was."""
        parts = [
            _files(self.suffixes),
            _counted(len(self.people), "folder without an image, not taken for a person", self.people),
            _counted(len(self.beside), "image beside the people's folders, which is nobody's", self.beside),
            _counted(len(self.folders), "folder inside of people's folders", self.folders),
            _counted(len(self.system), "folder of the system with images in it", self.system),
        ]
        if said := "; ".join(part for part in parts if part):
            logger.warning("%s: passed over: %s", name, said)
        if self.unreadable_heic:
            count = counted(self.unreadable_heic, "HEIC file")
            logger.warning("%s: %s cannot be read: %s", name, count, NEEDS_EXTRA)


def _files(suffixes: Counter[str]) -> str:
    total = suffixes.total()
    kinds = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {suffix or 'without an ending'}" for suffix, count in kinds[:_SHOWN]]
    more = sum(count for _, count in kinds[_SHOWN:])
    shown += [counted(more, "other")] if more else []
    return f"{counted(total, 'file')} ({', '.join(shown)})" if total else ""


def _counted(count: int, what: str, names: list[str]) -> str:
    if not count:
        return ""
    noun, space, rest = what.partition(" ")
    if count > 1:
        rest = rest.replace("not taken for a person", "not taken for people").replace("which is", "which are")
        rest, noun = rest.replace("in it", "in them"), f"{noun}s"
    more = ", …" if count > _SHOWN else ""
    return f"{count:,} {noun}{space}{rest} ({', '.join(names[:_SHOWN])}{more})"


def _hides_images(path: Path) -> bool:
    try:
        return (
            is_system_name(path.name) and path.is_dir() and any(is_image_name(inside.name) for inside in path.iterdir())
        )
    except OSError:  # lost+found can only be read by root
        return False


def _is_heic(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return image_suffix(file.read(_BEGINNING)) == ".heic"
    except OSError:
        return False
