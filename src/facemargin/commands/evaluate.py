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
from facemargin.commands._evaluate_protocol import (
    ProtocolArguments,
    Unreadable,
    evaluate_protocols,
)
from facemargin.commands._groups import GroupOptions, show_groups
from facemargin.commands._measuring_quality import MeasuredEmbed, is_measure, quality_measures, write_comparison
from facemargin.commands._origin import making, model_origin
from facemargin.commands._own_network import file_key
from facemargin.commands._progress import embedding_progress
from facemargin.commands._quality_check import drop_check, keep_check
from facemargin.commands._say import say
from facemargin.commands._scoring import AccuracyGrid, Reconstruct, score_systems
from facemargin.commands._system_names import BASELINES, default_output, system_names
from facemargin.commands.reconstruct import reconstruct_images
from facemargin.counting import counted
from facemargin.data.open import open_images, open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSource
from facemargin.data.squareness import SquashingTold, warn_of_squashed
from facemargin.errors import ConfigError
from facemargin.evaluation import Embed, Embeddings, PairScores, fit_pca_embed, fit_pixel_embed, summary_table
from facemargin.evaluation.differences_table import differences_table
from facemargin.evaluation.folder import evaluation_folder, slug
from facemargin.evaluation.origin import Origin, file_origin, images_origin, note_origin, require_place, set_origin
from facemargin.evaluation.protocols.presets import PresetName
from facemargin.evaluation.protocols.protocol import GalleryName, ProtocolName, Rule
from facemargin.evaluation.system_differences import system_differences
from facemargin.features.embeddings_file import EmbeddingsFile
from facemargin.models.model import Model, Progress
from facemargin.models.recognizer import NoBackbone
from facemargin.models.training_faces import not_of_others, warn_of_training_faces
from facemargin.models.views import Views
from facemargin.quality.degradation import degraded_twin
from facemargin.report import write_run_report

# The number of eigenfaces for the ORL faces. More components would amplify noise.
PCA_COMPONENTS = 20

EmbedOf = Callable[[VerificationSet, Progress], MeasuredEmbed]


@dataclass(frozen=True)
class Arguments(ComputingArguments):
    """Score a model on verification sets. Prints a table and writes scores, JSON and an HTML report."""

    model: tyro.conf.Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="MODEL …")]]
    """Run folders, model files, names of released models (facemargin models), FILE.py:NAME, a network of your own, or
    .npz files of embeddings (arrays paths and embeddings). Several are compared in one table and one report."""
    data: Annotated[tuple[str, ...], tyro.conf.arg(metavar="SET …")]
    """Verification sets: names such as lfw or cfp_fp, a .bin, a folder with pairs.txt and images/, shards, and others
    (docs/verification_sets.md), or embedded faces such as orl:31-40."""
    name: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …")] = ()
    """The names of the models in tables and files, one for each. The default for several models are the names of their
    files or folders."""
    output: Path | None = None
    """The output folder. The default is the run folder, evaluations/MODEL for a file, and evaluations/NAME-NAME for
    several models."""
    overwrite: bool = False
    """Replace existing figures of another model, or of another set with the same name, in the output."""
    degraded: bool = False
    """Also score a degraded copy of every set, with downscaled, blurred and noisy faces."""
    baselines: str | None = None
    """Training images for the pixel and PCA baselines, such as orl:1-30. Without it there are no baselines."""
    quality: Annotated[tuple[str, ...], tyro.conf.arg(metavar="MEASURE …")] = ()
    """The measure of an image's quality. The default is the prediction of CR-FIQA's layer if the model has one,
    otherwise the norm. Choices: those of `facemargin list measures`, some with settings (serfiq:dropout=0.4), or a .csv
    file of any tool, with :COLUMN if it has several columns. Several measures are compared."""
    groups: Path | None = None
    """A .csv file with groups of the images or people, such as sex, age or camera: a line of headings, image or person
    first. Shows false match and non-match rates by group and by pair of groups."""
    fmr: float | None = None
    """The FMR of all pairs for which the one threshold of all groups is chosen. The default is 0.01."""
    threshold: float | None = None
    """The one threshold of all groups, instead of choosing it: for bounds that are promises, one that was not chosen on
    these pairs."""
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
    if not args.model:
        raise ConfigError("no model is given: facemargin evaluate MODEL --data SET")
    if all(model.suffix == ".npz" for model in args.model):
        args.require_defaults(args.model[0])
    console = Console()
    names = system_names(args.model, args.name)
    output = args.output or default_output(args.model, names)
    if args.protocol is not None:
        of_models = [
            _protocol_arguments(args, model, name, args.protocol, output)
            for model, name in zip(args.model, names, strict=True)
        ]
        evaluate_protocols(of_models, console)
        return 0
    _check_no_protocol(args)
    sets = [open_verification(name) for name in args.data]
    sets += [degraded_twin(pairs) for pairs in sets] if args.degraded else []
    _check(args, sets)
    groups = GroupOptions(args.groups, args.fmr, args.threshold).read(sets, len(args.model))
    baselines: dict[str, Embed] = {}
    if args.baselines is not None:
        images = open_images(args.baselines)
        fitted = (fit_pixel_embed(images), fit_pca_embed(images, PCA_COMPONENTS))
        baselines = dict(zip(BASELINES, fitted, strict=True))
    systems = [_system(args, model, name) for model, name in zip(args.model, names, strict=True)]
    reconstruct = systems[0].reconstruct if len(systems) == 1 else None
    if reconstruct is None and any(system.reconstruct for system in systems):
        say("faces are reconstructed for the report if one model is given alone", stderr=True)
    origins = _origins(args, systems, baselines)
    of_sets = [set_origin(pairs) for pairs in sets]
    of_a_run = [output] == list(args.model)
    for pairs, data in zip(sets, of_sets, strict=True):
        require_place(evaluation_folder(output, pairs.name), data, origins, args.overwrite, of_a_run)
    if any(model.suffix != ".npz" for model in args.model):  # otherwise no image is read
        for pairs in sets[: len(args.data)]:  # the degraded copies have the same sizes
            warn_of_squashed(pairs.images)
            for system in systems:
                if system.model is not None:
                    warn_of_training_faces(system.model.info, pairs, not_of_others("figures"))
    for number, (pairs, data) in enumerate(zip(sets, of_sets, strict=True)):
        place = evaluation_folder(output, pairs.name)
        with embedding_progress(console, pairs.name) as progress:
            embeds = {system.name: system.embed_of(pairs, progress) for system in systems if system.embed_of}
            summaries = score_systems(
                {**embeds, **baselines}, pairs, output, args.grid, args.folds, reconstruct, next(iter(args.quality), "")
            )
        losses = {slug(system.name): system.model.info.loss for system in systems if system.model}
        losses |= dict.fromkeys(map(slug, baselines), "none")
        note_origin(place, data, origins, {name: making(losses.get(name, "")) for name in origins})
        if summaries:
            console.print(summary_table(summaries))
        if len(embeds) > 1:
            _print_differences(place, list(embeds), console)
        if groups is not None:
            show_groups(groups[number], list(embeds), place, console)
        for name, embed in embeds.items():
            write_comparison(embed, PairScores.load(place / f"{slug(name)}.npz"), pairs, place, args.refit, console)
    alone = systems[0].model if len(systems) == 1 else None
    if alone is not None and (not args.quality or args.quality[0] == alone.info.quality):
        keep_check(args.model[0], alone, output)
    else:
        drop_check(output)
    say(f"report: {write_run_report(output)}")
    return 0


def _print_differences(place: Path, names: Sequence[str], console: Console) -> None:
    differences = system_differences([PairScores.load(place / f"{slug(name)}.npz") for name in names])
    if differences.rows:
        console.print(differences_table(differences))
    else:
        say("\n".join(differences.notes))


def _protocol_arguments(
    args: Arguments, model: Path, name: str, protocol: ProtocolName, output: Path
) -> ProtocolArguments:
    """Raises ConfigError for options that a protocol would ignore."""
    for option in ("degraded", "baselines", "quality", "refit", "folds", "grid", "groups", "fmr", "threshold"):
        if getattr(args, option):
            raise ConfigError(f"--{option} does not apply to --protocol {protocol}")
    if len(args.data) != 1:
        raise ConfigError(
            f"--data has {counted(len(args.data), 'folder')}, expected one, that of --protocol {protocol}"
        )
    return ProtocolArguments(
        model=model,
        name=name,
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
    for model in args.model:
        if model.suffix == ".npy":
            raise ConfigError(
                f"{model} has a single array without names: save an .npz with the arrays paths (text) and embeddings"
            )
        if model.suffix == ".npz" and args.views is not None:
            raise ConfigError(
                f"{model} contains embeddings instead of a model, so --views does not apply: remove --views"
            )
    if len(args.model) > 1 and len(args.quality) > 1:
        raise ConfigError("several measures of quality are compared for one model: give one model, or one --quality")
    if args.refit and len(args.quality) < 2:
        raise ConfigError("--refit is for comparing measures of quality: give several with --quality")
    if args.degraded and (files := [name for name in args.quality if not is_measure(name)]):
        raise ConfigError(f"{files[0]} has no qualities of degraded images: remove --degraded, or this file")
    if args.grid is not None and args.folds is None and all(pairs.folds_K is None for pairs in sets):
        raise ConfigError(
            "--grid chooses the thresholds of the accuracy, which needs folds, but no set has folds: add --folds 10"
        )
    places = [slug(pairs.name) for pairs in sets]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise ConfigError(f"several verification sets are called {twice[0]}: evaluate them one at a time")


@dataclass(frozen=True)
class _System:
    """The name of a model in reports, its functions to embed and to reconstruct the images of a set (None for what it
    cannot do), its origin, and the model itself, unless only its embeddings are given."""

    name: str
    embed_of: EmbedOf | None
    reconstruct: Reconstruct | None
    origin: Origin
    model: Model | None = None


def _origins(args: Arguments, systems: Sequence[_System], baselines: Mapping[str, Embed]) -> dict[str, Origin]:
    """The origins of the systems, by the names of their files."""
    origins = {slug(system.name): system.origin for system in systems}
    if args.baselines is not None:
        faces = images_origin(open_images(args.baselines))
        origins |= {slug(baseline): Origin(args.baselines, faces.fingerprint) for baseline in baselines}
    return origins


def _system(args: Arguments, path: Path, name: str) -> _System:
    if path.suffix == ".npz":
        stored = EmbeddingsFile(path).embed
        return _System(name, partial(_embed_of, args, path, None, stored), None, file_origin(path))
    model = load_on_device(path, args)
    origin = model_origin(path, model, file_key(path))
    recognizes = not isinstance(model.recognizer.backbone, NoBackbone)
    if not recognizes and (args.quality or args.views is not None):
        raise ConfigError(f"{path} only has a face reconstruction, so --quality and --views do not apply: remove them")
    embed_of = partial(_embed_of, args, path, model, None) if recognizes else None
    if model.recognizer.reconstructor is None:
        return _System(name, embed_of, None, origin, model)
    embedding = model if recognizes else None
    return _System(name, embed_of, lambda images: reconstruct_images(model, images)[1], origin, embedding)


def _embed_of(
    args: Arguments, path: Path, model: Model | None, stored: Embed | None, pairs: VerificationSet, progress: Progress
) -> MeasuredEmbed:
    """The function that embeds the images of `pairs`, by a model or from a file, with the requested qualities."""
    measures = quality_measures(args.quality, path, model, pairs)
    if stored is not None:
        return MeasuredEmbed(stored, measures)
    assert model is not None

    def embed(images: ImageSource) -> Embeddings:
        return model.embed(SquashingTold(images), views=args.views, progress=progress)

    return MeasuredEmbed(embed, measures)
