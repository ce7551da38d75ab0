"""`facemargin evaluate MODEL --protocol NAME --data FOLDER`: evaluates a model by a standard protocol.

Shapes: N images, D embedding size.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from facemargin.commands._device import ComputingArguments, check_batch_size, load_on_device
from facemargin.commands._origin import making, model_origin
from facemargin.commands._own_network import file_key
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.data.formats.image_files import ImageFiles
from facemargin.data.squareness import SquashingTold, warn_of_squashed
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation.differences_file import ProtocolDifferences, read_differences, write_differences
from facemargin.evaluation.differences_table import differences_table
from facemargin.evaluation.folder import DIFFERENCES_FILE, PROTOCOLS_FOLDER, slug
from facemargin.evaluation.origin import Origin, file_origin, note_origin, require_place
from facemargin.evaluation.protocols.figures import protocol_json
from facemargin.evaluation.protocols.known import load_protocol
from facemargin.evaluation.protocols.presets import DEFAULT_PRESET, PRESETS, PresetName
from facemargin.evaluation.protocols.protocol import GalleryName, PairExperiment, Protocol, ProtocolName, Rule
from facemargin.evaluation.protocols.protocol_table import protocol_settings, protocol_table
from facemargin.evaluation.protocols.score_protocol import protocol_pairs, score_protocol
from facemargin.evaluation.scores import PairScores
from facemargin.evaluation.system_differences import SystemDifferences, system_differences
from facemargin.features.embeddings_file import EmbeddingsFile
from facemargin.features.store import extract_features, features_key
from facemargin.files.atomic import write_text_atomically
from facemargin.files.unicode_names import find_file
from facemargin.models.views import Views
from facemargin.report import write_run_report

Unreadable = Literal["refuse", "miss"]

_SHOWN = 5
_LOWEST_THRESHOLDS = "The differences have the lowest thresholds with FAR ≤ target, whatever --rule is."


@dataclass(frozen=True)
class ProtocolArguments(ComputingArguments):
    """The arguments of `evaluate` that apply to protocols. `cache` is the folder of all feature stores."""

    model: Path
    name: str
    protocol: ProtocolName
    folder: Path
    output: Path
    overwrite: bool
    preset: PresetName | None
    rule: Rule
    gallery: GalleryName
    views: Views | None
    unreadable: Unreadable
    cache: Path
    batch_size: int | None


@dataclass(frozen=True)
class _Features:
    """Features of every image (not normalised), which images could be read, the errors of the others, and the name and
    `origin` of the system."""

    features_ND: NDArray[np.float32]
    readable_N: NDArray[np.bool_]
    unreadable: Sequence[str]
    system: str
    views: str
    origin: Origin
    loss: str = ""


@dataclass(frozen=True)
class _Scored:
    """The folder with a system's figures, and the scores of the pairs whose people are known, by experiment, if they
    were kept."""

    place: Path
    pairs: list[tuple[PairExperiment, PairScores]]


def evaluate_protocols(of_models: Sequence[ProtocolArguments], console: Console) -> None:
    """Embed images that are not in the cache, score the protocol by each model, print tables and the differences of
    several models, and write JSON and the report."""
    names = [args.name for args in of_models]
    scored = [_evaluate(args, names, console) for args in of_models]
    if len(names) > 1:
        found = ProtocolDifferences(tuple(names), _differences([one.pairs for one in scored], of_models[0].rule))
        write_differences(scored[0].place / DIFFERENCES_FILE, found)
        for differences in found.experiments.values():
            if differences.rows:
                console.print(differences_table(differences))
            else:
                say("\n".join(differences.notes))
    say(f"report: {write_run_report(of_models[0].output)}")


def _evaluate(args: ProtocolArguments, names: Sequence[str], console: Console) -> _Scored:
    """Evaluate one of the systems called `names`."""
    check_batch_size(args.batch_size)
    # For the protocol "pairs" it may be a name: lfw, orl:31-40.
    if args.protocol != "pairs" and not args.folder.exists():
        raise DataError(f"{args.folder} does not exist; expected the folder of {args.protocol}")
    protocol = load_protocol(args.protocol, args.folder, args.rule, args.gallery)
    if args.preset is not None and protocol.templates is None:
        raise ConfigError(
            f"--preset is given, but it applies to templates, and {args.protocol} has no templates: remove --preset"
        )
    if args.unreadable == "refuse":
        _refuse(_absent(protocol), protocol, "are missing")
    place = args.output / PROTOCOLS_FOLDER / slug(protocol.name)
    features = _embed(args, protocol, place, console)
    if args.unreadable == "refuse":
        _refuse(features.unreadable, protocol, "cannot be read")
    preset = args.preset or DEFAULT_PRESET
    result = score_protocol(
        protocol, features.features_ND, features.readable_N, features.system, preset, features.views, args.rule
    )
    _drop_differences(place, features.system, names)
    write_text_atomically(place / f"{slug(features.system)}.json", protocol_json(result))
    note_origin(
        place,
        _data_origin(protocol),
        {slug(features.system): features.origin},
        {slug(features.system): making(features.loss)},
    )
    console.print(protocol_table(result))
    say(protocol_settings(result))
    if len(names) == 1:
        return _Scored(place, [])
    return _Scored(place, protocol_pairs(protocol, features.features_ND, features.readable_N, features.system, preset))


def _differences(
    found: Sequence[Sequence[tuple[PairExperiment, PairScores]]], rule: Rule
) -> dict[str, SystemDifferences]:
    """The differences of the systems by the name of every experiment whose people are known. `found`: the experiments
    of each system."""
    if not found[0]:
        return {"": _untested("the lists of the protocol do not say who is in every template")}
    differences = {}
    for of_systems in zip(*found, strict=True):
        experiment = of_systems[0][0]
        try:
            tested = system_differences([scores for _, scores in of_systems], experiment.fars)
        except DataError as error:  # labels of pairs that contradict the lists of people
            tested = _untested(str(error))
        if tested.rows and rule == "published":
            tested = replace(tested, notes=(*tested.notes, _LOWEST_THRESHOLDS))
        differences[experiment.name] = tested
    return differences


def _untested(reason: str) -> SystemDifferences:
    return SystemDifferences((), (f"Differences between the models are not tested: {reason.removesuffix('.')}.",))


def _drop_differences(place: Path, system: str, names: Sequence[str]) -> None:
    """Delete the stored differences of `system`, whose figures are replaced, and say so if not all of their systems are
    evaluated now."""
    path = place / DIFFERENCES_FILE
    if not path.is_file():
        return
    try:
        stored = read_differences(path).systems
    except DataError:
        stored = (system,)  # damaged: no report could be written beside it
    if system not in stored:
        return
    path.unlink()
    if not set(stored) <= set(names):
        say(
            f"{path} had the differences of {', '.join(stored)} and is deleted, because {system} is evaluated again; "
            "evaluate them together for new ones",
            "note",
        )


def _require_place(args: ProtocolArguments, protocol: Protocol, place: Path, system: str, origin: Origin) -> Origin:
    """`origin`, after a check that its figures may be written to `place`."""
    require_place(
        place, _data_origin(protocol), {slug(system): origin}, args.overwrite, of_a_run=args.output == args.model
    )
    return origin


def _data_origin(protocol: Protocol) -> Origin:
    """The origin of a protocol. The fingerprint covers the names of the images and everything that rule and gallery do
    not change: pairs and probes."""
    digest = hashlib.sha256(protocol.image_key.encode())
    for index in range(len(protocol.images)):
        name = protocol.images.describe(index).removeprefix(protocol.images.name)
        digest.update(name.encode(errors="surrogateescape") + b"\n")
    for experiment in protocol.experiments:
        if isinstance(experiment, PairExperiment):
            digest.update(
                np.stack([experiment.first_K, experiment.second_K, experiment.same_K]).astype(np.int64).tobytes()
            )
        else:
            digest.update("\n".join(map(str, experiment.probe_ids_P.tolist())).encode(errors="surrogateescape"))
            break  # both galleries of IJB have the same probes, and the published rule has one common gallery
    return Origin(protocol.images.name, digest.hexdigest()[:12])


def _embed(args: ProtocolArguments, protocol: Protocol, place: Path, console: Console) -> _Features:
    if args.model.suffix == ".npz":
        if args.views is not None:
            raise ConfigError(
                f"{args.model} contains embeddings instead of a model, so --views does not apply: remove --views"
            )
        origin = _require_place(args, protocol, place, args.name, file_origin(args.model))
        embeddings = EmbeddingsFile(args.model).embed(protocol.images)
        features_ND = embeddings.vectors * embeddings.norms[:, None]
        return _Features(features_ND, np.ones(len(features_ND), dtype=bool), [], args.name, "as in the file", origin)
    warn_of_squashed(protocol.images)
    model = load_on_device(args.model, args)
    origin = model_origin(args.model, model, file_key(args.model))
    _require_place(args, protocol, place, args.name, origin)
    views = args.views or _views(args, protocol) or model.info.views
    key = features_key(model, protocol.images, views, protocol.image_key + file_key(args.model))
    folder = args.cache / f"{protocol.name}-{key[:16]}"
    with embedding_progress(console, protocol.name) as progress:
        stored = extract_features(model, SquashingTold(protocol.images), folder, key, args.batch_size, views, progress)
    unreadable = list(stored.unreadable.values())
    return _Features(stored.features_ND, stored.readable_N, unreadable, args.name, views, origin, model.info.loss)


def _views(args: ProtocolArguments, protocol: Protocol) -> Views | None:
    """The views of the preset. None means the default of the model."""
    if protocol.templates is None:
        return None
    return "flip" if PRESETS[args.preset or DEFAULT_PRESET].mirrored else "one"


def _absent(protocol: Protocol) -> list[str]:
    """The missing files, found by listing each folder once, before hours are spent on the other files."""
    if not isinstance(protocol.images, ImageFiles):
        return []
    listed: dict[str, set[str]] = {}
    absent = []
    for index in range(len(protocol.images)):
        path = protocol.images.describe(index)
        folder, name = os.path.split(path)
        if folder not in listed:
            listed[folder] = set(os.listdir(folder)) if Path(folder).is_dir() else set()  # noqa: PTH208
        if name not in listed[folder] and find_file(Path(path)) is None:
            absent.append(path)
    return absent


def _refuse(messages: Sequence[str], protocol: Protocol, what: str) -> None:
    if messages:
        shown = "; ".join(messages[:_SHOWN]) + ("; …" if len(messages) > _SHOWN else "")
        raise DataError(
            f"{protocol.name}: images that {what}: {len(messages):,} of {len(protocol.images):,} ({shown}). "
            "Leaving them out would change the test. With --unreadable miss they match nobody"
        )
