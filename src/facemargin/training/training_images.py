"""The images that a recipe trains on: opened, cut to the recipe's limit and looked over.

Shapes: N images, C people.
"""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from facemargin.counting import counted
from facemargin.data.findings import NOISE, NOISE_AND_COPIES
from facemargin.data.formats.folder import FolderImages, folders_of_people
from facemargin.data.open import open_images
from facemargin.data.source import LabeledImages, labeled_subset
from facemargin.data.squareness import warn_of_squashed
from facemargin.errors import ConfigError, DataError
from facemargin.training.audited_data import FoundImages
from facemargin.training.config import DataConfig, Recipe

logger = logging.getLogger(__name__)


def open_training_images(recipe: Recipe, console: Console | None = None) -> LabeledImages:
    """The training images that a recipe names, as many as its limit lets through, which is said on the `console`.

    ConfigError where it names none, and DataError where they show fewer than two people: then there is nothing to tell
    apart, and the loss is 0 from the first step.
    """
    if not recipe.data.train:
        raise ConfigError("data.train is empty: name a data set, as in --data.train path/to/faces")
    images = _without_suspects(open_images(recipe.data.train), recipe.data, console)
    if recipe.reconstruction.mode != "alone":  # it trains on faces, whoever they are
        _check_people(images, recipe)
    warn_of_squashed(images)
    if not recipe.data.limit or recipe.data.limit >= len(images):
        return images
    if recipe.data.limit == 1 and recipe.reconstruction.mode != "alone":
        raise ConfigError("data.limit is 1, one image of one person: expected at least 2, or 0 for all images")
    limited = labeled_subset(images, limited_indices(images.labels, recipe.data.limit))
    if console is not None:
        console.print(
            f"data.limit {recipe.data.limit}: training on {len(limited):,} of {counted(len(images), 'image')}, of "
            f"{limited.num_identities:,} of {counted(images.num_identities, 'person', 'people')}",
            highlight=False,
            markup=False,
        )
    return limited


def _without_suspects(images: LabeledImages, data: DataConfig, console: Console | None) -> LabeledImages:
    if not data.drop_suspects:
        return images
    found = FoundImages(images, Path(data.drop_suspects), NOISE_AND_COPIES)
    of_kind = {kind: found.among((kind,), data.drop_from) for kind in (*NOISE, "duplicate")}
    suspect_N = np.any([*of_kind.values()], axis=0)
    left = labeled_subset(images, np.flatnonzero(~suspect_N))
    if console is not None:
        console.print(
            f"data.drop_suspects {data.drop_suspects}: {int(suspect_N.sum()):,} of {counted(len(images), 'image')} "
            f"left out for findings of a score of {data.drop_from:g} or more ("
            f"{', '.join(f'{kind} {int(found_N.sum()):,}' for kind, found_N in of_kind.items())}); "
            f"{left.num_identities:,} of {counted(images.num_identities, 'person', 'people')} remain",
            highlight=False,
            markup=False,
        )
    return left


def limited_indices(labels_N: NDArray[np.int64], limit: int) -> NDArray[np.int64]:
    """Ascending indices of at most `limit` images: all of the first people, in the order of their labels, as long as
    they fit; of the first two, half of `limit` each where they don't."""
    order_N = np.argsort(labels_N, kind="stable")
    counts = np.bincount(labels_N)
    ends = np.cumsum(counts)
    fitting = int((ends <= limit).sum())
    first = np.flatnonzero(counts)[:2]
    if len(first) < 2:
        return np.sort(order_N[:limit])
    if fitting > first[1]:
        return np.sort(order_N[: ends[fitting - 1]])
    first_person, second_person = (order_N[ends[label] - counts[label] : ends[label]] for label in first)
    half = limit // 2
    taken = min(len(first_person), max(half, limit - len(second_person)))
    return np.sort(np.concatenate([first_person[:taken], second_person[: limit - taken]]))


def _check_people(images: LabeledImages, recipe: Recipe) -> None:
    counts = np.bincount(images.labels, minlength=images.num_identities)
    people = int((counts > 0).sum()) * (len(recipe.data.synthetic_identities) + 1)
    if people < 2:
        raise DataError(
            f"{images.name}: {_all(len(images))} of one person ({images.identity_names[int(counts.argmax())]}), and a "
            f"recogniser learns to tell people apart: expected at least two. {_hint(images)}"
        )
    if people > 2 and counts.max() == 1:
        logger.warning(
            "%s: each of the %d people has a single image, so that nothing shows what one person's images have in "
            "common: are these labels of people, or of images?",
            images.name,
            people,
        )


def _all(number: int) -> str:
    return "the one image is" if number == 1 else f"all {number:,} images are"


def _hint(images: LabeledImages) -> str:
    if not isinstance(images, FolderImages):
        return "Look at the labels of the set"
    only = images.root / images.identity_names[0]
    if below := folders_of_people(only):
        return (
            f"The folder may be one level too high: {only} holds {counted(len(below), 'folder')} with images of their "
            "own, "
            f"such as {below[0]}: name it, as in --data.train {only}"
        )
    return (
        "A folder of faces has one folder a person in it, with that person's images; this one may be one level too "
        "high or hold everybody's images in one folder"
    )
