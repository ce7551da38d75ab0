"""The measures of image quality in `facemargin evaluate --quality`, and their comparison.

Shapes: N images.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from facemargin.data.open import open_images
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource
from facemargin.data.squareness import SquashingTold
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import Embed, Embeddings, PairScores
from facemargin.evaluation.folder import QUALITY_FILE
from facemargin.evaluation.quality_comparison import QualityMeasures, compare_quality
from facemargin.evaluation.quality_table import quality_tables
from facemargin.features.class_quality import certainty_ratio_quality, load_centers
from facemargin.features.measures import MEASURES, make_measure
from facemargin.features.quality_file import QualityFile
from facemargin.files.atomic import write_atomically, write_text_atomically
from facemargin.files.unicode_names import one_form
from facemargin.files.yaml import read_yaml
from facemargin.models.model import Model
from facemargin.training.recipe import recipe_from_mapping

QualityOf = Callable[[ImageSource, Embeddings], NDArray[Any]]
"""A function that returns the qualities (N,) of images with the given embeddings; higher is better."""


class MeasuredEmbed:
    """`embed` with the first of `measures` as quality. `values` has the qualities of the last images by each
    measure."""

    def __init__(self, embed: Embed, measures: Mapping[str, QualityOf]) -> None:
        self.values: dict[str, NDArray[Any]] = {}
        self._embed, self._measures = embed, measures

    def __call__(self, images: ImageSource) -> Embeddings:
        embeddings = self._embed(images)
        self.values = {name: measure(images, embeddings) for name, measure in self._measures.items()}
        if not self.values:
            return embeddings
        return replace(embeddings, quality=next(iter(self.values.values())).astype(np.float32))


def quality_measures(
    names: tuple[str, ...], path: Path, model: Model | None, pairs: VerificationSet
) -> dict[str, QualityOf]:
    """The measures called `names` for the images of `pairs`. `model` is None if `path` contains embeddings.

    Raises ConfigError for a measure that is not available, and DataError for a file that cannot be read.
    """
    measures: dict[str, QualityOf] = {}
    for name in names:
        if name in measures:
            raise ConfigError(f"--quality contains {name} twice: give it once")
        measures[name] = _measure(name, path, model, pairs)
    return measures


def write_comparison(
    embed: MeasuredEmbed, scores: PairScores, pairs: VerificationSet, place: Path, refit: bool, console: Console
) -> None:
    """If there are several measures, compare them on a set, print the tables, and write the files for the report."""
    if len(embed.values) < 2:
        # An earlier comparison must not look like a result of this evaluation.
        (place / QUALITY_FILE).unlink(missing_ok=True)
        return
    measures = QualityMeasures.of(scores, pairs, embed.values, refit)
    comparison = compare_quality(measures)
    write_atomically(place / QUALITY_FILE, measures.save)
    write_text_atomically(place / "quality.json", comparison.to_json())
    for table in quality_tables(comparison):
        console.print(table)


def is_measure(name: str) -> bool:
    """Whether `name` is that of a measure, with or without settings, instead of a file's."""
    return name.partition(":")[0] in MEASURES


def _measure(name: str, path: Path, model: Model | None, pairs: VerificationSet) -> QualityOf:
    if name == "norm":
        return lambda images, embeddings: embeddings.norms
    if not is_measure(name):
        return _from_file(name)
    if model is None:
        raise ConfigError(
            f"{path} contains embeddings instead of a model, so --quality {name} does not apply: choose another measure"
        )
    if name != "certainty-ratio":
        try:
            measure = make_measure(name, model)
        except ConfigError as error:
            raise ConfigError(f"--quality {name} for {path}: {error}") from error
        return lambda images, embeddings: measure(SquashingTold(images), lambda _: embeddings)
    if not path.is_dir():
        raise ConfigError(f"--quality certainty-ratio needs a run folder with class centres, but {path} is a file")
    centers_CD = load_centers(path / "head.safetensors")
    classes = _classes(path, pairs, len(centers_CD))
    return lambda images, embeddings: certainty_ratio_quality(lambda _: embeddings, centers_CD, classes)(images).quality


def _from_file(name: str) -> QualityOf:
    """The measure in a file, given as "scores.csv" or "scores.csv:column"."""
    path, column = Path(name), None
    if not path.is_file() and ":" in name:
        before, _, column = name.rpartition(":")
        path = Path(before)
    if not path.is_file():
        raise ConfigError(
            f"--quality {name} is neither one of {', '.join(MEASURES.names())} nor a .csv file of qualities"
        )
    file = QualityFile(path, column)
    return lambda images, embeddings: file.of(images)


def _classes(run: Path, pairs: VerificationSet, num_centers: int) -> list[int]:
    """The class of each image's person in the run's head. Raises DataError for people who were not in the training set,
    and if the training set has changed since the training."""
    if pairs.identities_N is None or pairs.identity_names is None:
        raise DataError(f"{pairs.name} does not name its people, which --quality certainty-ratio needs")
    recipe = recipe_from_mapping(read_yaml(run / "recipe.yaml"), str(run / "recipe.yaml"))
    trained = {one_form(name): label for label, name in enumerate(open_images(recipe.data.train).identity_names)}
    expected = len(trained) * (1 + len(recipe.data.synthetic_identities))
    if num_centers != expected:
        raise DataError(
            f"{run} has {num_centers} class centres, but its training set {recipe.data.train} now gives "
            f"{expected}: the set has changed since the training, so it is not known which centre belongs to whom"
        )
    names = [one_form(name) for name in pairs.identity_names]
    unknown = sorted(set(names) - trained.keys())
    if unknown:
        raise DataError(
            f"people of {pairs.name} who were not in the training set: {len(unknown):,} ({', '.join(unknown[:3])}); "
            "--quality certainty-ratio needs class centres, which exist only for people of the training set"
        )
    return [trained[names[identity]] for identity in pairs.identities_N]
