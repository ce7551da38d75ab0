"""`facemargin evaluate RUN_OR_MODEL --data SET …`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._evaluate_protocol import ProtocolArguments, Unreadable, evaluate_protocol, file_key
from facemargin.commands._measuring_quality import OWN_MEASURES, MeasuredEmbed, quality_measures, write_comparison
from facemargin.commands._origin import model_origin
from facemargin.commands._progress import embedding_progress
from facemargin.commands._scoring import AccuracyGrid, Reconstruct, score_systems
from facemargin.commands.reconstruct import reconstruct_images
from facemargin.counting import counted
from facemargin.data.open import open_images, open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.squareness import warn_of_squashed
from facemargin.errors import ConfigError
from facemargin.evaluation import Embed, PairScores, fit_pca_embed, fit_pixel_embed, summary_table
from facemargin.evaluation.folder import evaluation_folder, slug
from facemargin.evaluation.origin import Origin, file_origin, images_origin, note_origin, require_place, set_origin
from facemargin.evaluation.protocols.known import ProtocolName
from facemargin.evaluation.protocols.presets import PresetName
from facemargin.evaluation.protocols.protocol import GalleryName, Rule
from facemargin.features.embeddings_file import EmbeddingsFile
from facemargin.models.load import load
from facemargin.models.model import Model, Progress
from facemargin.models.views import Views
from facemargin.quality.twin import degraded_twin
from facemargin.report import write_run_report

# Eigenfaces of the ORL faces: more components whiten noise.
PCA_COMPONENTS = 20

EmbedOf = Callable[[VerificationSet, Progress], MeasuredEmbed]


@dataclass(frozen=True)
class Arguments:
    """Score a model on verification sets; prints a table and writes scores, JSON and an HTML report."""

    model: tyro.conf.Positional[Path]
    """A run folder, a model file, or an .npz of embeddings (arrays paths and embeddings)."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET …")]
    """Verification sets: names such as lfw or cfp_fp, a .bin, a folder with pairs.txt and images/, shards, and others
    (docs/verification_sets.md), or embedded faces such as orl:31-40."""
    output: Path | None = None
    """Where to write; by default the run folder, or evaluations/MODEL for a file."""
    overwrite: bool = False
    """Replace figures of another model, or of another set of the same name, that the output holds already."""
    degraded: bool = False
    """Also score a degraded twin of every set: downscaled, blurred and noisy faces."""
    baselines: str | None = None
    """Training images for the pixel and PCA baselines, such as orl:1-30; none without."""
    quality: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MEASURE …")] = ()
    """What counts as an image's quality; by default the model's own: the certainty ratio that CR-FIQA's layer predicts
    where it has one, else the norm. "norm", "crfiqa", "certainty-ratio", which measures it (that needs a run folder and
    people it was trained on), or a .csv file of any tool, with :COLUMN where it has several. Several are compared."""
    refit: bool = False
    """Compare measures of quality with the threshold placed anew for every fraction that is discarded."""
    views: Views | None = None
    """Views of an image to average; by default the model's own."""
    folds: int | None = None
    """Contiguous folds for the accuracy; by default the set's own."""
    grid: AccuracyGrid | None = None
    """How the accuracy's thresholds are chosen, instead of exactly: on InsightFace's grid of squared distances, or as
    MagFace's 1:1 script does, on angles of features less the mean of the other folds'."""
    protocol: ProtocolName | None = None
    """Score by a protocol of the field, whose folder --data names, instead: see `facemargin list protocols`."""
    preset: PresetName | None = None
    """How a template is made of its images' features: insightface (default), adaface or magface."""
    rule: Rule | None = None
    """What settles a protocol's thresholds: the standards' rules (default), or those of the published scripts."""
    gallery: GalleryName | None = None
    """What a person of a protocol's gallery is: all their "images" (default), as the lists have them, the "best" of
    them, or their "mean"."""
    unreadable: Unreadable | None = None
    """Images of a protocol that cannot be read: "refuse" them (default), or let them "miss": match nobody."""
    cache: Path | None = None
    """Where the features of a protocol's images are kept, and found again; by default features/ in the output."""
    batch_size: int | None = None
    """Images of a protocol that are embedded at once; 64 by default."""


def main(arguments: Sequence[str]) -> int:
    own = parse(Arguments, "evaluate", arguments)
    if not own.data:
        raise ConfigError("--data is empty: name at least one verification set, such as --data orl:31-40")
    console = Console()
    output = own.output or (own.model if own.model.is_dir() else Path("evaluations") / own.model.stem)
    if own.protocol is not None:
        return evaluate_protocol(_protocol_arguments(own, own.protocol, output), console)
    _check_no_protocol(own)
    sets = [open_verification(name) for name in own.data]
    sets += [degraded_twin(one) for one in sets] if own.degraded else []
    _check(own, sets)
    baselines: dict[str, Embed] = {}
    if own.baselines is not None:
        images = open_images(own.baselines)
        baselines = {"raw pixels": fit_pixel_embed(images), "PCA": fit_pca_embed(images, PCA_COMPONENTS)}
    name, embed_of, reconstruct, system = _system(own)
    origins = _origins(own, name, system, baselines)
    of_sets = [set_origin(one) for one in sets]
    for one, data in zip(sets, of_sets, strict=True):
        require_place(evaluation_folder(output, one.name), data, origins, own.overwrite, own=output == own.model)
    if own.model.suffix != ".npz":  # there no image is read
        for one in sets[: len(own.data)]:  # the degraded twins are of the same sizes
            warn_of_squashed(one.images)
    for one, data in zip(sets, of_sets, strict=True):
        with embedding_progress(console, one.name) as progress:
            systems = {} if embed_of is None else {name: embed_of(one, progress)}
            summaries = score_systems({**systems, **baselines}, one, output, own.grid, own.folds, reconstruct)
        note_origin(evaluation_folder(output, one.name), data, origins)
        if summaries:
            console.print(summary_table(summaries))
        if name in systems:
            place = evaluation_folder(output, one.name)
            scores = PairScores.load(place / f"{slug(name)}.npz")
            write_comparison(systems[name], scores, one, place, own.refit, console)
    console.print(f"report: {write_run_report(output)}", highlight=False, markup=False)
    return 0


def _protocol_arguments(own: Arguments, protocol: ProtocolName, output: Path) -> ProtocolArguments:
    """Raises ConfigError for options that a protocol would ignore."""
    for name in ("degraded", "baselines", "quality", "refit", "folds", "grid"):
        if getattr(own, name):
            raise ConfigError(f"--{name} does not apply to --protocol {protocol}")
    if len(own.data) != 1:
        raise ConfigError(f"--data names {counted(len(own.data), 'folder')}, expected the one of --protocol {protocol}")
    return ProtocolArguments(
        model=own.model,
        protocol=protocol,
        folder=Path(own.data[0]),
        output=output,
        overwrite=own.overwrite,
        preset=own.preset,
        rule=own.rule or "standard",
        gallery=own.gallery or "images",
        views=own.views,
        unreadable=own.unreadable or "refuse",
        cache=own.cache or output / "features",
        batch_size=64 if own.batch_size is None else own.batch_size,
    )


def _check_no_protocol(own: Arguments) -> None:
    for name in ("preset", "rule", "gallery", "unreadable", "cache", "batch_size"):
        if getattr(own, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} applies to --protocol alone")


def _check(own: Arguments, sets: Sequence[VerificationSet]) -> None:
    """Raise ConfigError for options that would be ignored, and for sets that would overwrite each other."""
    if own.model.suffix == ".npy":
        raise ConfigError(
            f"{own.model} holds one array without names: save an .npz with the arrays paths (text) and embeddings"
        )
    if own.model.suffix == ".npz" and own.views is not None:
        raise ConfigError(f"{own.model} holds embeddings, not a model: --views does not apply to it")
    if own.refit and len(own.quality) < 2:
        raise ConfigError("--refit is for comparing measures of quality: name several after --quality")
    if own.degraded and (files := [name for name in own.quality if name not in OWN_MEASURES]):
        raise ConfigError(f"{files[0]} says nothing of degraded images: leave --degraded out, or the file")
    if own.grid is not None and own.folds is None and all(one.folds_K is None for one in sets):
        raise ConfigError("--grid is how the accuracy's thresholds are chosen, and no set has folds: add --folds 10")
    places = [slug(one.name) for one in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"more than one verification set is called {twice[0]}: evaluate them one at a time")


def _origins(own: Arguments, name: str, system: Origin, baselines: Mapping[str, Embed]) -> dict[str, Origin]:
    """The systems and where they come from, by the names of their files."""
    found = {slug(name): system}
    if own.baselines is not None:
        faces = images_origin(open_images(own.baselines))
        found |= {slug(baseline): Origin(own.baselines, faces.fingerprint) for baseline in baselines}
    return found


def _system(own: Arguments) -> tuple[str, EmbedOf | None, Reconstruct | None, Origin]:
    """What reports call the model, how to embed the images of a set with it, and how to take them apart, None for what
    it cannot do; and where it comes from."""
    if own.model.suffix == ".npz":
        stored = EmbeddingsFile(own.model).embed
        return own.model.stem, partial(_embed_of, own, None, stored), None, file_origin(own.model)
    model = load(own.model)
    origin = model_origin(own.model, model, file_key(own.model))
    if model.recogniser.backbone is None and (own.quality or own.views is not None):
        raise ConfigError(f"{own.model} holds a face reconstruction alone: --quality and --views do not apply to it")
    embed_of = None if model.recogniser.backbone is None else partial(_embed_of, own, model, None)
    if model.recogniser.reconstructor is None:
        return "facemargin", embed_of, None, origin
    return "facemargin", embed_of, lambda images: reconstruct_images(model, images)[1], origin


def _embed_of(
    own: Arguments, model: Model | None, stored: Embed | None, one: VerificationSet, progress: Progress
) -> MeasuredEmbed:
    """How to embed the images of `one`, by a model or from a file, with the qualities that were asked for."""
    measures = quality_measures(own.quality, own.model, model, one)
    if stored is not None:
        return MeasuredEmbed(stored, measures)
    assert model is not None
    return MeasuredEmbed(lambda images: model.embed(images, views=own.views, progress=progress), measures)
