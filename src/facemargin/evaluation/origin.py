"""Protects the figures in an output folder: figures of another model, or of another data set with the same name, are
never replaced silently.

A folder of figures has a file origin.json with the fingerprints of the data set and of each system. Shapes: N images.
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
    """A data set or a system: the name that the user gave, and a fingerprint of its content."""

    name: str
    fingerprint: str

    def __str__(self) -> str:
        return f"{self.name} (fingerprint {self.fingerprint})"


@dataclass(frozen=True)
class Making:
    """How the figures of a system were made: the loss of its training, the date, the command and the versions, as
    texts; empty for what is not known."""

    loss: str = ""
    date: str = ""
    command: str = ""
    versions: str = ""


def require_place(
    place: Path, data: Origin, systems: Mapping[str, Origin], overwrite: bool, of_a_run: bool = False
) -> None:
    """Raise ConfigError if the folder `place` holds figures of other data, or of another model under the name of one of
    `systems`. With `overwrite`, figures of other data are deleted instead.

    `of_a_run`: the folder is the run of the model, so figures of an earlier state of the run may be replaced.
    """
    known = read_origin(place / ORIGIN_FILE)
    if known is None:
        return
    before, held = known
    if before.fingerprint != data.fingerprint:
        if not overwrite:
            _refuse(place, before, data)
        for path in place.iterdir():
            if not path.is_dir():  # folders are not written by evaluations
                path.unlink()
        return
    for name, system in systems.items():
        stored_origin = held.get(name, system)
        of_this_run = of_a_run and stored_origin.name == system.name
        if stored_origin.fingerprint != system.fingerprint and not overwrite and not of_this_run:
            _refuse(place, stored_origin, system)


def note_origin(
    place: Path, data: Origin, systems: Mapping[str, Origin], making: Mapping[str, Making] | None = None
) -> None:
    """Add to the folder's origin.json that it has the figures of `systems` on `data`, and their `making`."""
    known = read_origin(place / ORIGIN_FILE)
    made = read_making(place / ORIGIN_FILE) | dict(making or {})
    before = {} if known is None else known[1]
    kept = [
        name for name, origin in systems.items() if name in before and before[name].fingerprint == origin.fingerprint
    ]
    all_systems = before | {name: origin for name, origin in systems.items() if name not in kept}
    content = {"data": vars(data), "systems": {name: vars(origin) for name, origin in all_systems.items()}}
    if made:
        content["making"] = {name: vars(one) for name, one in made.items() if name in all_systems}
    write_text_atomically(place / ORIGIN_FILE, json.dumps(content, indent=2))


def file_origin(path: Path) -> Origin:
    """The origin of a file, with a fingerprint of its bytes."""
    with path.open("rb") as file:
        return Origin(str(path), hashlib.file_digest(file, "sha256").hexdigest()[:FINGERPRINT_DIGITS])


def images_origin(
    images: ImageSource, arrays: Mapping[str, object] | None = None, looked_at: int = IMAGES_LOOKED_AT
) -> Origin:
    """The origin of images. The fingerprint covers their number, the bytes of some of them in equal steps, and
    `arrays`."""
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
    """The origin of a verification set, with a fingerprint of its images (see `images_origin`) and pairs."""
    arrays = {name: getattr(pairs, name) for name in ("first_K", "second_K", "same_K")}
    return images_origin(pairs.images, arrays, looked_at)


def read_making(path: Path) -> dict[str, Making]:
    """How the figures of each system in an origin.json were made, as far as it says so. Raises DataError if it is
    damaged."""
    try:
        made = json.loads(path.read_text(encoding="utf-8")).get("making", {})
        making = {name: Making(**one) for name, one in made.items()}
        if not all(isinstance(text, str) for one in making.values() for text in vars(one).values()):
            raise TypeError("not all are texts")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} does not say how the figures in its folder were made: {error!r}") from error
    return making


def read_origin(path: Path) -> tuple[Origin, dict[str, Origin]] | None:
    """The data and systems in an origin.json. None if there is no such file. Raises DataError if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return Origin(**content["data"]), {name: Origin(**origin) for name, origin in content["systems"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged, so the origin of the figures in its folder is not known: {error!r}. Evaluate into "
            "another folder"
        ) from error


def _refuse(place: Path, stored: Origin, given: Origin) -> None:
    raise ConfigError(
        f"{place} holds figures of {stored}, but the new figures would be of {given}: choose another --output, or "
        "replace the old figures with --overwrite"
    )
