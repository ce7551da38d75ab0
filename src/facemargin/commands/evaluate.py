"""`facemargin evaluate RUN_OR_MODEL --data SET …`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import ComputingArguments, load_on_device
from facemargin.commands._evaluate_protocol import ProtocolArguments, Unreadable, evaluate_protocol
from facemargin.commands._measuring_quality import OWN_MEASURES, MeasuredEmbed, quality_measures, write_comparison
from facemargin.commands._origin import model_origin
from facemargin.commands._own_network import file_key, short_name
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import keep_check
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
from facemargin.models.model import Model, Progress
from facemargin.models.recognizer import NoBackbone
from facemargin.models.views import Views
from facemargin.quality.degradation import degraded_twin
from facemargin.report import write_run_report

# The number of eigenfaces for the ORL faces. More components would amplify noise.
PCA_COMPONENTS = 20

EmbedOf = Callable[[VerificationSet, Progress], MeasuredEmbed]


@dataclass(frozen=True)
class Arguments(ComputingArguments):
    """Score a model on verification sets. Prints a table and writes scores, JSON and an HTML report."""

    model: tyro.conf.Positional[Path]
    """A run folder, a model file, the name of a released model (facemargin models), FILE.py:NAME, a network of your
    own, or an .npz of embeddings (arrays paths and embeddings)."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET …")]
    """Verification sets: names such as lfw or cfp_fp, a .bin, a folder with pairs.txt and images/, shards, and others
    (docs/verification_sets.md), or embedded faces such as orl:31-40."""
    output: Path | None = None
    """The output folder. The default is the run folder, or evaluations/MODEL for a file."""
    overwrite: bool = False
    """Replace existing figures of another model, or of another set with the same name, in the output."""
    degraded: bool = False
    """Also score a degraded copy of every set, with downscaled, blurred and noisy faces."""
    baselines: str | None = None
    """Training images for the pixel and PCA baselines, such as orl:1-30. Without it there are no baselines."""
    quality: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MEASURE …")] = ()
    """The measure of an image's quality. The default is the prediction of CR-FIQA's layer if the model has one,
    otherwise the norm. Choices: "norm", "crfiqa", "certainty-ratio" (the measured ratio, which needs a run folder and
    people of its training set), or a .csv file of any tool, with :COLUMN if it has several columns. Several measures
    are compared."""
    refit: bool = False
    """When comparing measures of quality, choose the threshold again for every discarded fraction."""
    views: Views | None = None
    """Views of an image to average. The default is that of the model."""
    folds: int | None = None
    """The number of contiguous folds for the accuracy. The default are the folds of the set."""
    grid: AccuracyGrid | None = None
    """How to choose the thresholds of the accuracy, instead of exactly: on InsightFace's grid of squared distances, or
    as in MagFace's 1:1 script, on angles between features minus the mean feature of the other folds."""
    protocol: ProtocolName | None = None
    """Score by a standard protocol instead; --data is then its folder. See `facemargin list protocols`."""
    preset: PresetName | None = None
    """How the features of images are pooled into a template: insightface (default), adaface or magface."""
    rule: Rule | None = None
    """The rule for the thresholds of a protocol: that of the standards (default), or that of the published scripts."""
    gallery: GalleryName | None = None
    """How a protocol's search treats several images of a person in the gallery: "images" (default) searches each,
    "best" uses the best score of a person, "mean" pools them."""
    unreadable: Unreadable | None = None
    """What to do with images of a protocol that cannot be read: "refuse" (default) stops, "miss" lets them match
    nobody."""
    cache: Path | None = None
    """The folder in which features of a protocol's images are stored and found again. The default is features/ in the
    output."""
    batch_size: int | None = None
    """The number of images of a protocol to embed at a time. The default is 64 on the CPU and 256 on a GPU."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "evaluate", arguments)
    if not args.data:
        raise ConfigError("--data is empty: give at least one verification set, such as --data orl:31-40")
    if args.model.suffix == ".npz":
        args.require_defaults(args.model)
    console = Console()
    output = args.output or (args.model if args.model.is_dir() else Path("evaluations") / short_name(args.model))
    if args.protocol is not None:
        return evaluate_protocol(_protocol_arguments(args, args.protocol, output), console)
    _check_no_protocol(args)
    sets = [open_verification(name) for name in args.data]
    sets += [degraded_twin(pairs) for pairs in sets] if args.degraded else []
    _check(args, sets)
    baselines: dict[str, Embed] = {}
    if args.baselines is not None:
        images = open_images(args.baselines)
        baselines = {"raw pixels": fit_pixel_embed(images), "PCA": fit_pca_embed(images, PCA_COMPONENTS)}
    name, embed_of, reconstruct, system, model = _system(args)
    origins = _origins(args, name, system, baselines)
    of_sets = [set_origin(pairs) for pairs in sets]
    for pairs, data in zip(sets, of_sets, strict=True):
        require_place(
            evaluation_folder(output, pairs.name), data, origins, args.overwrite, of_a_run=output == args.model
        )
    if args.model.suffix != ".npz":  # no image is read in this case
        for pairs in sets[: len(args.data)]:  # the degraded copies have the same sizes
            warn_of_squashed(pairs.images)
    for pairs, data in zip(sets, of_sets, strict=True):
        with embedding_progress(console, pairs.name) as progress:
            systems = {} if embed_of is None else {name: embed_of(pairs, progress)}
            summaries = score_systems({**systems, **baselines}, pairs, output, args.grid, args.folds, reconstruct)
        note_origin(evaluation_folder(output, pairs.name), data, origins)
        if summaries:
            console.print(summary_table(summaries))
        if name in systems:
            place = evaluation_folder(output, pairs.name)
            scores = PairScores.load(place / f"{slug(name)}.npz")
            write_comparison(systems[name], scores, pairs, place, args.refit, console)
    if model is not None and (not args.quality or args.quality[0] == model.info.quality):
        keep_check(args.model, model, output)
    say(f"report: {write_run_report(output)}")
    return 0


def _protocol_arguments(args: Arguments, protocol: ProtocolName, output: Path) -> ProtocolArguments:
    """Raises ConfigError for options that a protocol would ignore."""
    for name in ("degraded", "baselines", "quality", "refit", "folds", "grid"):
        if getattr(args, name):
            raise ConfigError(f"--{name} does not apply to --protocol {protocol}")
    if len(args.data) != 1:
        raise ConfigError(
            f"--data has {counted(len(args.data), 'folder')}, expected one, that of --protocol {protocol}"
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
        batch_size=args.batch_size,
        device=args.device,
        precision=args.precision,
    )


def _check_no_protocol(args: Arguments) -> None:
    for name in ("preset", "rule", "gallery", "unreadable", "cache", "batch_size"):
        if getattr(args, name) is not None:
            raise ConfigError(f"--{name.replace('_', '-')} needs --protocol: add --protocol, or remove it")


def _check(args: Arguments, sets: Sequence[VerificationSet]) -> None:
    """Raise ConfigError for options that would have no effect, and for sets that would overwrite each other."""
    if args.model.suffix == ".npy":
        raise ConfigError(
            f"{args.model} has a single array without names: save an .npz with the arrays paths (text) and embeddings"
        )
    if args.model.suffix == ".npz" and args.views is not None:
        raise ConfigError(
            f"{args.model} contains embeddings instead of a model, so --views does not apply: remove --views"
        )
    if args.refit and len(args.quality) < 2:
        raise ConfigError("--refit is for comparing measures of quality: give several with --quality")
    if args.degraded and (files := [name for name in args.quality if name not in OWN_MEASURES]):
        raise ConfigError(f"{files[0]} has no qualities of degraded images: remove --degraded, or this file")
    if args.grid is not None and args.folds is None and all(pairs.folds_K is None for pairs in sets):
        raise ConfigError(
            "--grid chooses the thresholds of the accuracy, which needs folds, but no set has folds: add --folds 10"
        )
    places = [slug(pairs.name) for pairs in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"several verification sets are called {twice[0]}: evaluate them one at a time")


def _origins(args: Arguments, name: str, system: Origin, baselines: Mapping[str, Embed]) -> dict[str, Origin]:
    """The origins of the systems, by the names of their files."""
    origins = {slug(name): system}
    if args.baselines is not None:
        faces = images_origin(open_images(args.baselines))
        origins |= {slug(baseline): Origin(args.baselines, faces.fingerprint) for baseline in baselines}
    return origins


def _system(args: Arguments) -> tuple[str, EmbedOf | None, Reconstruct | None, Origin, Model | None]:
    """The name of the model in reports, its functions to embed and to reconstruct the images of a set (None for what it
    cannot do), its origin, and the model that embeds, if there is one."""
    if args.model.suffix == ".npz":
        stored = EmbeddingsFile(args.model).embed
        return args.model.stem, partial(_embed_of, args, None, stored), None, file_origin(args.model), None
    model = load_on_device(args.model, args)
    origin = model_origin(args.model, model, file_key(args.model))
    recognizes = not isinstance(model.recognizer.backbone, NoBackbone)
    if not recognizes and (args.quality or args.views is not None):
        raise ConfigError(
            f"{args.model} only has a face reconstruction, so --quality and --views do not apply: remove them"
        )
    embed_of = partial(_embed_of, args, model, None) if recognizes else None
    if model.recognizer.reconstructor is None:
        return "facemargin", embed_of, None, origin, model
    embedding = model if recognizes else None
    return "facemargin", embed_of, lambda images: reconstruct_images(model, images)[1], origin, embedding


def _embed_of(
    args: Arguments, model: Model | None, stored: Embed | None, pairs: VerificationSet, progress: Progress
) -> MeasuredEmbed:
    """The function that embeds the images of `pairs`, by a model or from a file, with the requested qualities."""
    measures = quality_measures(args.quality, args.model, model, pairs)
    if stored is not None:
        return MeasuredEmbed(stored, measures)
    assert model is not None
    return MeasuredEmbed(lambda images: model.embed(images, views=args.views, progress=progress), measures)
