"""`facemargin evaluate RUN_OR_MODEL --data SET …`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from facemargin.commands.arguments import parse
from facemargin.commands.progress import embedding_progress
from facemargin.commands.reconstruct import reconstruct_images
from facemargin.commands.scoring import Reconstruct, score_systems, slug
from facemargin.data.open import open_images, open_verification
from facemargin.data.source import ImageSource
from facemargin.data.verification import VerificationSet
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import Embed, Embeddings, fit_pca_embed, fit_pixel_embed, summary_table
from facemargin.inference import Model, load
from facemargin.inference.class_quality import certainty_ratio_quality, load_centres
from facemargin.inference.embeddings_file import EmbeddingsFile
from facemargin.inference.model import Progress
from facemargin.inference.views import Views
from facemargin.quality.twin import degraded_twin
from facemargin.report import write_run_report
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.strict_yaml import read_yaml

# Eigenfaces of the ORL faces: more components whiten noise.
PCA_COMPONENTS = 20


@dataclass(frozen=True)
class Arguments:
    """Score a model on verification sets; prints a table and writes scores, JSON and an HTML report."""

    model: tyro.conf.Positional[Path]
    """A run folder, a model file, or an .npz of embeddings (arrays paths and embeddings)."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET …")]
    """Verification sets: a .bin, a folder with pairs.txt and images/, or embedded faces such as orl:31-40."""
    output: Path | None = None
    """Where to write; by default the run folder, or evaluations/MODEL for a file."""
    degraded: bool = False
    """Also score a degraded twin of every set: downscaled, blurred and noisy faces."""
    baselines: str | None = None
    """Training images for the pixel and PCA baselines, such as orl:1-30; none without."""
    quality: Literal["norm", "crfiqa", "certainty-ratio"] | None = None
    """What counts as an image's quality; by default the model's own: the certainty ratio that CR-FIQA's layer predicts
    where it has one, else the norm. "certainty-ratio" measures it: that needs a run folder and people it was trained
    on."""
    views: Views | None = None
    """Views of an image to average; by default the model's own."""
    folds: int | None = None
    """Contiguous folds for the accuracy; by default the set's own."""
    grid: Literal["insightface"] | None = None
    """Choose thresholds on InsightFace's grid of squared distances instead of exactly."""


def main(arguments: Sequence[str]) -> int:
    own = parse(Arguments, "evaluate", arguments)
    if not own.data:
        raise ConfigError("--data is empty: name at least one verification set, such as --data orl:31-40")
    console = Console()
    sets = [open_verification(name) for name in own.data]
    sets += [degraded_twin(one) for one in sets] if own.degraded else []
    _check(own, sets)
    baselines: dict[str, Embed] = {}
    if own.baselines is not None:
        images = open_images(own.baselines)
        baselines = {"raw pixels": fit_pixel_embed(images), "PCA": fit_pca_embed(images, PCA_COMPONENTS)}
    output = own.output or (own.model if own.model.is_dir() else Path("evaluations") / own.model.stem)
    name, embed_of, reconstruct = _system(own)
    for one in sets:
        with embedding_progress(console, one.name) as progress:
            systems = {} if embed_of is None else {name: embed_of(one, progress)}
            summaries = score_systems({**systems, **baselines}, one, output, own.grid, own.folds, reconstruct)
        if summaries:
            console.print(summary_table(summaries))
    console.print(f"report: {write_run_report(output)}", highlight=False, markup=False)
    return 0


def _check(own: Arguments, sets: Sequence[VerificationSet]) -> None:
    """Raise ConfigError for options that would be ignored, and for sets that would overwrite each other."""
    if own.model.suffix == ".npz" and (own.quality not in (None, "norm") or own.views is not None):
        raise ConfigError(f"{own.model} holds embeddings, not a model: --quality and --views do not apply to it")
    if own.quality == "certainty-ratio" and not own.model.is_dir():
        raise ConfigError(f"--quality certainty-ratio needs a run folder with class centres; {own.model} is a file")
    if own.grid is not None and own.folds is None and all(one.folds_K is None for one in sets):
        raise ConfigError("--grid is how the accuracy's thresholds are chosen, and no set has folds: add --folds 10")
    places = [slug(one.name) for one in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"more than one verification set is called {twice[0]}: evaluate them one at a time")


def _system(own: Arguments) -> tuple[str, Callable[[VerificationSet, Progress], Embed] | None, Reconstruct | None]:
    """What reports call the model, how to embed the images of a set with it, and how to take them apart; None for what
    it cannot do."""
    if own.model.suffix == ".npz":
        embed = EmbeddingsFile(own.model).embed
        return own.model.stem, lambda one, progress: _with_norms(embed) if own.quality == "norm" else embed, None
    model = load(own.model)
    if own.quality == "crfiqa" and model.info.quality != "crfiqa":
        raise ConfigError(
            f"{own.model} has no layer that predicts quality: train with --quality.name crfiqa, or leave --quality out"
        )
    if model.recogniser.backbone is None and (own.quality is not None or own.views is not None):
        raise ConfigError(f"{own.model} holds a face reconstruction alone: --quality and --views do not apply to it")
    embed_of = None if model.recogniser.backbone is None else partial(_embed_of, own, model)
    if model.recogniser.reconstructor is None:
        return "facemargin", embed_of, None
    return "facemargin", embed_of, lambda images: reconstruct_images(model, images)[1]


def _embed_of(own: Arguments, model: Model, one: VerificationSet, progress: Progress) -> Embed:
    """How to embed the images of `one`, with the quality that was asked for."""

    embed: Embed = lambda images: model.embed(images, views=own.views, progress=progress)  # noqa: E731
    if own.quality == "norm":
        return _with_norms(embed)
    if own.quality != "certainty-ratio":
        return embed
    centres_CD = load_centres(own.model / "head.safetensors")
    return certainty_ratio_quality(embed, centres_CD, _classes(own.model, one, len(centres_CD)))


def _with_norms(embed: Embed) -> Embed:
    """`embed` with the norm as quality, whatever its own is."""

    def with_norms(images: ImageSource) -> Embeddings:
        embeddings = embed(images)
        return replace(embeddings, quality=embeddings.norms)

    return with_norms


def _classes(run: Path, one: VerificationSet, num_centres: int) -> list[int]:
    """The class that the run's head gives each image's person; DataError for people it was not trained on, and where
    the training set has changed since."""
    if one.identities_N is None or one.identity_names is None:
        raise DataError(f"{one.name} does not name its people, which --quality certainty-ratio needs")
    recipe = recipe_from_mapping(read_yaml(run / "recipe.yaml"), str(run / "recipe.yaml"))
    trained = {name: label for label, name in enumerate(open_images(recipe.data.train).identity_names)}
    expected = len(trained) * (1 + len(recipe.data.synthetic_identities))
    if num_centres != expected:
        raise DataError(
            f"{run} has {num_centres} class centres, its training set {recipe.data.train} makes {expected}: it has "
            "changed since, and which centre is whose is not known"
        )
    unknown = sorted(set(one.identity_names) - trained.keys())
    if unknown:
        raise DataError(
            f"{len(unknown)} people of {one.name} were not in the training set ({', '.join(unknown[:3])}): "
            "their class centres, and so their certainty ratios, are not known"
        )
    return [trained[one.identity_names[identity]] for identity in one.identities_N]
