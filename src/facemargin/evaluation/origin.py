"""What an output holds already: figures of another model, or of another set of the same name, are never replaced
without a word.

A folder of figures has origin.json: the set and each system with their fingerprints. Shapes: N images.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource
from facemargin.errors import ConfigError, DataError, ImageError
from facemargin.evaluation.folder import ORIGIN_FILE
from facemargin.files.atomic import write_text_atomically

IMAGES_LOOKED_AT = 64
FINGERPRINT_DIGITS = 12


@dataclass(frozen=True)
class Origin:
    """A set or a system: what the user called it, and a fingerprint of what is in it."""

    name: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.name} (fingerprint {self.fingerprint})"


def require_place(
    place: Path, data: Origin, systems: Mapping[str, Origin], overwrite: bool, of_a_run: bool = False
) -> None:
    """Raise ConfigError, naming what is there, where the folder `place` holds figures of other data, or of another
    model under the name of one of `systems`, unless they are to be overwritten: then those of other data are deleted.

    `of_a_run` says that the folder is the model's run: its figures are of the run as it is now.
    """
    known = read_origin(place / ORIGIN_FILE)
    if known is None:
        return
    before, held = known
    if before.fingerprint != data.fingerprint:
        if not overwrite:
            _refuse(place, before, data)
        for path in place.iterdir():
            if not path.is_dir():  # a folder in it is not ours
                path.unlink()
        return
    for name, system in systems.items():
        there = held.get(name, system)
        is_own = of_a_run and there.name == system.name
        if there.fingerprint != system.fingerprint and not overwrite and not is_own:
            _refuse(place, there, system)


def note_origin(place: Path, data: Origin, systems: Mapping[str, Origin]) -> None:
    """Note that the figures of `systems` on `data` are in the folder, beside those that were there."""
    known = read_origin(place / ORIGIN_FILE)
    before = {} if known is None else known[1]
    kept = [name for name, one in systems.items() if name in before and before[name].fingerprint == one.fingerprint]
    all_systems = before | {name: one for name, one in systems.items() if name not in kept}
    content = {"data": vars(data), "systems": {name: vars(one) for name, one in all_systems.items()}}
    write_text_atomically(place / ORIGIN_FILE, json.dumps(content, indent=2))


def file_origin(path: Path) -> Origin:
    """Of a file's bytes."""
    with path.open("rb") as file:
        return Origin(str(path), hashlib.file_digest(file, "sha256").hexdigest()[:FINGERPRINT_DIGITS])


def images_origin(
    images: ImageSource, arrays: Mapping[str, object] | None = None, looked_at: int = IMAGES_LOOKED_AT
) -> Origin:
    """Of the number of the images, the bytes of some of them in equal steps, and `arrays`."""
    digest = hashlib.sha256(str(len(images)).encode())
    for index in np.unique(np.linspace(0, max(len(images) - 1, 0), looked_at).astype(int)).tolist():
        try:
            digest.update(images.read_encoded(index) if len(images) else b"")
        except ImageError:
            digest.update(b"unreadable")
    for name, array in (arrays or {}).items():
        digest.update(name.encode())
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return Origin(images.name, digest.hexdigest()[:FINGERPRINT_DIGITS])


def set_origin(pairs: VerificationSet, looked_at: int = IMAGES_LOOKED_AT) -> Origin:
    """Of its images (see `images_origin`) and pairs."""
    arrays = {name: getattr(pairs, name) for name in ("first_K", "second_K", "same_K")}
    return images_origin(pairs.images, arrays, looked_at)


def read_origin(path: Path) -> tuple[Origin, dict[str, Origin]] | None:
    """The data and systems that an origin.json names; None where there is none, DataError for one that is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Origin(**content["data"]), {name: Origin(**one) for name, one in content["systems"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is damaged, so that it is not known whose figures are beside it: {error!r}") from error


def _refuse(place: Path, there: Origin, given: Origin) -> None:
    raise ConfigError(
        f"{place} holds figures of {there}, and these would be of {given}: name another --output, or replace them with "
        "--overwrite"
    )
