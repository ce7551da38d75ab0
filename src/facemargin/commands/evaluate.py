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
from facemargin.commands._say import say
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
from facemargin.evaluation.protocols.presets import PresetName
from facemargin.evaluation.protocols.protocol import GalleryName, ProtocolName, Rule
from facemargin.features.embeddings_file import EmbeddingsFile
from facemargin.models.load import load
from facemargin.models.model import Model, Progress
from facemargin.models.recognizer import NoBackbone
from facemargin.models.views import Views
from facemargin.quality.degradation import degraded_twin
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
    args = parse(Arguments, "evaluate", arguments)
    if not args.data:
        raise ConfigError("--data is empty: name at least one verification set, such as --data orl:31-40")
    console = Console()
    output = args.output or (args.model if args.model.is_dir() else Path("evaluations") / args.model.stem)
    if args.protocol is not None:
        return evaluate_protocol(_protocol_arguments(args, args.protocol, output), console)
    _check_no_protocol(args)
    sets = [open_verification(name) for name in args.data]
    sets += [degraded_twin(one) for one in sets] if args.degraded else []
    _check(args, sets)
    baselines: dict[str, Embed] = {}
    if args.baselines is not None:
        images = open_images(args.baselines)
        baselines = {"raw pixels": fit_pixel_embed(images), "PCA": fit_pca_embed(images, PCA_COMPONENTS)}
    name, embed_of, reconstruct, system = _system(args)
    origins = _origins(args, name, system, baselines)
    of_sets = [set_origin(one) for one in sets]
    for one, data in zip(sets, of_sets, strict=True):
        require_place(evaluation_folder(output, one.name), data, origins, args.overwrite, of_a_run=output == args.model)
    if args.model.suffix != ".npz":  # there no image is read
        for one in sets[: len(args.data)]:  # the degraded twins are of the same sizes
            warn_of_squashed(one.images)
    for one, data in zip(sets, of_sets, strict=True):
        with embedding_progress(console, one.name) as progress:
            systems = {} if embed_of is None else {name: embed_of(one, progress)}
            summaries = score_systems({**systems, **baselines}, one, output, args.grid, args.folds, reconstruct)
        note_origin(evaluation_folder(output, one.name), data, origins)
        if summaries:
            console.print(summary_table(summaries))
        if name in systems:
            place = evaluation_folder(output, one.name)
            scores = PairScores.load(place / f"{slug(name)}.npz")
            write_comparison(systems[name], scores, one, place, args.refit, console)
    say(f"report: {write_run_report(output)}")
    return 0


def _protocol_arguments(args: Arguments, protocol: ProtocolName, output: Path) -> ProtocolArguments:
    """Raises ConfigError for options that a protocol would ignore."""
    for name in ("degraded", "baselines", "quality", "refit", "folds", "grid"):
        if getattr(args, name):
            raise ConfigError(f"--{name} does not apply to --protocol {protocol}")
    if len(args.data) != 1:
        raise ConfigError(
            f"--data names {counted(len(args.data), 'folder')}, expected the one of --protocol {protocol}"
        )
    return ProtocolArguments(
        model=args.model,
        protocol=protocol,
        folder=Path(args.data[0]),
        output=output,
        overwrite=args.overwrite,
        preset=args.preset,
        rule=args.rule or "standard",
        gallery=args.gallery or "images",
        views=args.views,
        unreadable=args.unreadable or "refuse",
        cache=args.cache or output / "features",
        batch_size=64 if args.batch_size is None else args.batch_size,
    )


def _check_no_protocol(args: Arguments) -> None:
    for name in ("preset", "rule", "gallery", "unreadable", "cache", "batch_size"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} applies to --protocol alone")


def _check(args: Arguments, sets: Sequence[VerificationSet]) -> None:
    """Raise ConfigError for options that would be ignored, and for sets that would overwrite each other."""
    if args.model.suffix == ".npy":
        raise ConfigError(
            f"{args.model} holds one array without names: save an .npz with the arrays paths (text) and embeddings"
        )
    if args.model.suffix == ".npz" and args.views is not None:
        raise ConfigError(f"{args.model} holds embeddings, not a model: --views does not apply to it")
    if args.refit and len(args.quality) < 2:
        raise ConfigError("--refit is for comparing measures of quality: name several after --quality")
    if args.degraded and (files := [name for name in args.quality if name not in OWN_MEASURES]):
        raise ConfigError(f"{files[0]} says nothing of degraded images: leave --degraded out, or the file")
    if args.grid is not None and args.folds is None and all(one.folds_K is None for one in sets):
        raise ConfigError("--grid is how the accuracy's thresholds are chosen, and no set has folds: add --folds 10")
    places = [slug(one.name) for one in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"more than one verification set is called {twice[0]}: evaluate them one at a time")


def _origins(args: Arguments, name: str, system: Origin, baselines: Mapping[str, Embed]) -> dict[str, Origin]:
    """The systems and where they come from, by the names of their files."""
    found = {slug(name): system}
    if args.baselines is not None:
        faces = images_origin(open_images(args.baselines))
        found |= {slug(baseline): Origin(args.baselines, faces.fingerprint) for baseline in baselines}
    return found


def _system(args: Arguments) -> tuple[str, EmbedOf | None, Reconstruct | None, Origin]:
    """What reports call the model, how to embed the images of a set with it, and how to take them apart, None for what
    it cannot do; and where it comes from."""
    if args.model.suffix == ".npz":
        stored = EmbeddingsFile(args.model).embed
        return args.model.stem, partial(_embed_of, args, None, stored), None, file_origin(args.model)
    model = load(args.model)
    origin = model_origin(args.model, model, file_key(args.model))
    recognizes = not isinstance(model.recognizer.backbone, NoBackbone)
    if not recognizes and (args.quality or args.views is not None):
        raise ConfigError(f"{args.model} holds a face reconstruction alone: --quality and --views do not apply to it")
    embed_of = partial(_embed_of, args, model, None) if recognizes else None
    if model.recognizer.reconstructor is None:
        return "facemargin", embed_of, None, origin
    return "facemargin", embed_of, lambda images: reconstruct_images(model, images)[1], origin


def _embed_of(
    args: Arguments, model: Model | None, stored: Embed | None, one: VerificationSet, progress: Progress
) -> MeasuredEmbed:
    """How to embed the images of `one`, by a model or from a file, with the qualities that were asked for."""
    measures = quality_measures(args.quality, args.model, model, one)
    if stored is not None:
        return MeasuredEmbed(stored, measures)
    assert model is not None
    return MeasuredEmbed(lambda images: model.embed(images, views=args.views, progress=progress), measures)
