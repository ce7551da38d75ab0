"""What was done to a set when it was cleaned, in its folder: cleaning.csv, a row an image of the set before, and
cleaning.json, from what it was made and by which decisions. Shapes: N images before, M that were to be kept."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facemargin.auditing.accepted import Accepted
from facemargin.auditing.cleaning import Cleaning
from facemargin.auditing.result import Audit
from facemargin.data.source import LabeledImages
from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.version import __version__

LOG_FILE, ABOUT_FILE = "cleaning.csv", "cleaning.json"
LOG_COLUMNS = ("path", "label", "action", "new_path", "new_label", "why")
UNREADABLE = "unreadable"
_FORMAT = 1


def write_log(cleaning: Cleaning, written: LabeledImages, place_M: NDArray[np.int64], folder: Path, name: Path) -> None:
    """Write cleaning.csv to `folder`, which will be called `name`. `written` are its images and `place_M` says which of
    them each image that was to be kept is, -1 for one that could not be read."""
    images = cleaning.images
    place_N = np.full(len(images), -1, dtype=np.int64)
    place_N[cleaning.kept_M] = place_M
    before, after = str(folder), str(name)

    def row(index: int) -> Sequence[str]:
        action, place = cleaning.actions_N[index], int(place_N[index])
        old = [images.describe(index), images.identity_names[images.labels[index]]]
        why = "; ".join(cleaning.why.get(index, []))
        if place < 0:
            return [*old, action if action == "dropped" else UNREADABLE, "", "", why]
        new_path = written.describe(place)
        new_path = after + new_path.removeprefix(before) if new_path.startswith(before) else new_path
        return [*old, action, new_path, written.identity_names[written.labels[place]], why]

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(LOG_COLUMNS)
            writer.writerows(row(index) for index in range(len(images)))

    write_atomically(folder / LOG_FILE, write)


def write_about(
    cleaning: Cleaning, audit: Audit, accepted: Sequence[Accepted], settings: dict[str, Any], folder: Path
) -> None:
    """Write cleaning.json to `folder`: what was cleaned, with digests, the `settings` as they were given, and every
    finding that was accepted, with who decided."""
    about = {
        "format": _FORMAT,
        "facemargin": __version__,
        "date": datetime.now(UTC).date().isoformat(),
        "source": cleaning.images.name,
        "data": asdict(audit.data),
        "settings": settings,
        "images": dict(sorted(cleaning.counts().items())),
        "accepted": [{**asdict(one.finding), "decided": one.where} for one in accepted],
        "not_applied": cleaning.not_applied,
        "people_left_out": cleaning.emptied,
    }
    write_text_atomically(folder / ABOUT_FILE, json.dumps(about, indent=1) + "\n")
