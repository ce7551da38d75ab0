"""The content of a report, read from a run folder before anything is drawn.

Its files are those of `training.run_folder` and of `evaluation.folder`.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from facemargin.data.findings import NOISE_AND_COPIES
from facemargin.decision.checked_model import CHECK_FILE, CheckedModel, find_check
from facemargin.errors import DataError
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.differences_file import ProtocolDifferences
from facemargin.evaluation.folder import (
    CHECKED_FACES_FILE,
    DECISIONS_FILE,
    EVALUATION_FOLDER,
    FACES_FILE,
    GROUPS_FILE,
    NOT_FACES_FILE,
    ORIGIN_FILE,
    PROTOCOLS_FOLDER,
    QUALITY_FILE,
    RECONSTRUCTIONS_FILE,
    RELEASED_FOLDER,
    SUMMARY_FILE,
    slug,
)
from facemargin.evaluation.groups import ImageGroups
from facemargin.evaluation.origin import read_origin
from facemargin.evaluation.quality_comparison import QualityMeasures
from facemargin.evaluation.scores import PairScores
from facemargin.files.columns import Columns, read_columns
from facemargin.files.listing import entries
from facemargin.models.load import load
from facemargin.recording.columns import visits_files
from facemargin.recording.learning import NEEDED, Learning, learning
from facemargin.recording.reader import load_recording
from facemargin.report.decision_gallery import DecisionGallery
from facemargin.report.gallery import FaceGallery
from facemargin.report.origins import FolderOrigin, read_origins
from facemargin.report.protocol_scores import ProtocolScores, read_protocol_differences, read_protocols
from facemargin.report.reconstruction_gallery import ReconstructionGallery
from facemargin.training.run_folder import RunFolder
from facemargin.training.suspected_samples import kinds_of_samples

_ORDER = {"facemargin": 0, "raw pixels": 2, "PCA": 3}
"""The order of systems: the run's own model first, other systems next, the baselines and their variants last."""

_NO_SCORES = {
    FACES_FILE,
    RECONSTRUCTIONS_FILE,
    QUALITY_FILE,
    CHECKED_FACES_FILE,
    NOT_FACES_FILE,
    DECISIONS_FILE,
    GROUPS_FILE,
}

EnvironmentValue = str | int | float | bool | None


@dataclass(frozen=True)
class Validation:
    """The rows of validation.csv: the data set of each row, and the numbers of each column."""

    datasets: list[str]
    columns: Columns


@dataclass(frozen=True)
class DatasetEvaluation:
    """The scores of every system on one data set (the model first, the baselines last), some of its faces, the model's
    reconstructions of some faces, measures of its quality, pictures with which its quality was checked, its
    decisions, and the groups of its images."""

    dataset: str
    systems: list[PairScores]
    faces: FaceGallery | None = None
    reconstructions: ReconstructionGallery | None = None
    quality: QualityMeasures | None = None
    checked_faces: FaceGallery | None = None
    not_faces: FaceGallery | None = None
    decisions: DecisionGallery | None = None
    groups: ImageGroups | None = None


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report can show. Parts that a run does not have are empty. `summary`: its sentences in short.
    `released`: what a released recogniser showed beside the run's. `protocol_differences`: by the slug of a protocol's
    name."""

    title: str
    summary: list[str] = field(default_factory=list)
    released: "ReportContent | None" = None
    recipe: str = ""
    environment: dict[str, EnvironmentValue] = field(default_factory=dict)
    metrics: Columns = field(default_factory=dict)
    validation: Validation | None = None
    evaluations: list[DatasetEvaluation] = field(default_factory=list)
    protocols: list[list[ProtocolScores]] = field(default_factory=list)
    protocol_differences: dict[str, ProtocolDifferences] = field(default_factory=dict)
    quality_check: QualityCheck | None = None
    recording: Learning | None = None
    origins: list[FolderOrigin] = field(default_factory=list)


def load_run(folder: Path, audit: Path | None = None) -> ReportContent:
    """Read the summary, recipe, environment, metrics, validation and evaluations in `folder`, and those of the released
    recogniser in it. `audit`: the folder of an audit of the training set, whose findings are shown in the recording.

    Some of them may be missing, but not all. Raises DataError, which names the file, for a malformed file, and for an
    audit of another set, or where there is no recording.
    """
    content = _load(folder)
    if audit is not None:
        if content.recording is None:
            raise DataError(
                f"{folder} holds no recording, whose images an audit would colour: leave out --audit, or train with "
                "--recorder True"
            )
        recipe, num_samples = RunFolder(folder).followed_recipe(), len(content.recording.norm_N)
        kind_N = kinds_of_samples(recipe, audit, NOISE_AND_COPIES, num_samples)
        content = replace(content, recording=replace(content.recording, kind_N=kind_N))
    released = folder / RELEASED_FOLDER
    return replace(content, released=_load(released)) if released.is_dir() else content


def _load(folder: Path) -> ReportContent:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected the folder of a run or an evaluation")
    run = RunFolder(folder)
    summary = folder / SUMMARY_FILE
    content = ReportContent(
        title=folder.resolve().name,
        summary=_read_text(summary).splitlines() if summary.exists() else [],
        recipe=_read_text(run.recipe) if run.recipe.exists() else "",
        environment=_read_environment(run.environment) if run.environment.exists() else {},
        metrics=read_columns(run.metrics)[0] if run.metrics.exists() else {},
        validation=_read_validation(run.validation) if run.validation.exists() else None,
        evaluations=_read_evaluations(folder / EVALUATION_FOLDER),
        protocols=read_protocols(folder / PROTOCOLS_FOLDER),
        protocol_differences=read_protocol_differences(folder / PROTOCOLS_FOLDER),
        origins=read_origins(folder),
    )
    if content == ReportContent(content.title):
        raise DataError(
            f"{folder} holds nothing to report; expected {run.metrics.name}, {run.recipe.name}, "
            f"{EVALUATION_FOLDER}/ or {PROTOCOLS_FOLDER}/ in it"
        )
    return replace(content, quality_check=_read_check(folder, run.model), recording=_read_recording(folder))


def _read_recording(folder: Path) -> Learning | None:
    """How the set was learned, where the run has a recording with a visit."""
    if not visits_files(RunFolder(folder).recording):
        return None
    recording = load_recording(folder, NEEDED)
    return learning(recording) if len(recording) else None


def _read_check(folder: Path, model: Path) -> QualityCheck | None:
    """The check of the quality of the run's model, or of the model that was evaluated into the folder."""
    kept = folder / CHECK_FILE
    if not kept.is_file():
        return None
    if model.is_file():
        return find_check(folder, load(folder, "cpu", precision="float32"))
    return next(iter(CheckedModel.load(kept).checks.values()), None)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}") from error


def _read_environment(path: Path) -> dict[str, EnvironmentValue]:
    try:
        environment = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(environment, dict) or any(isinstance(value, dict | list) for value in environment.values()):
        raise DataError(f"{path} is not as expected: a single JSON object whose values are texts and numbers")
    return environment


def _read_validation(path: Path) -> Validation:
    columns, datasets = read_columns(path, text_column="dataset")
    return Validation(datasets, columns)


def _read_evaluations(folder: Path) -> list[DatasetEvaluation]:
    folders = [path for path in entries(folder) if path.is_dir()] if folder.is_dir() else []
    evaluations = [_read_evaluation(path) for path in folders]
    return [evaluation for evaluation in evaluations if _shows_anything(evaluation)]


def _shows_anything(evaluation: DatasetEvaluation) -> bool:
    return bool(
        evaluation.systems
        or evaluation.faces
        or evaluation.reconstructions
        or evaluation.checked_faces
        or evaluation.decisions
    )


def _read_evaluation(folder: Path) -> DatasetEvaluation:
    faces, reconstructions, quality = (folder / name for name in (FACES_FILE, RECONSTRUCTIONS_FILE, QUALITY_FILE))
    checked_faces, not_faces, decisions, groups = (
        folder / name for name in (CHECKED_FACES_FILE, NOT_FACES_FILE, DECISIONS_FILE, GROUPS_FILE)
    )
    systems: list[PairScores] = []
    for path in entries(folder):
        if path.suffix != ".npz" or path.name in _NO_SCORES:
            continue
        scores = PairScores.load(path)
        if systems and scores.dataset != systems[0].dataset:
            raise DataError(
                f"{path} has scores on the data set {scores.dataset!r}, but the other files in its folder on "
                f"{systems[0].dataset!r}: move it to the folder of its own data set"
            )
        if scores.system in [other.system for other in systems]:
            raise DataError(
                f"{path} has scores of the system {scores.system!r}, as another file in its folder has: delete one of "
                "the two"
            )
        systems.append(scores)
    return DatasetEvaluation(
        dataset=systems[0].dataset if systems else folder.name,
        systems=_in_order(folder, systems),
        faces=FaceGallery.load(faces) if faces.exists() else None,
        reconstructions=ReconstructionGallery.load(reconstructions) if reconstructions.exists() else None,
        quality=QualityMeasures.load(quality) if quality.exists() else None,
        checked_faces=FaceGallery.load(checked_faces) if checked_faces.exists() else None,
        not_faces=FaceGallery.load(not_faces) if not_faces.exists() else None,
        decisions=DecisionGallery.load(decisions) if decisions.exists() else None,
        groups=ImageGroups.load(groups) if groups.exists() else None,
    )


def is_baseline(scores: PairScores) -> bool:
    """Whether the system has learnt nothing about faces, so that it shows what every other system must exceed."""
    return _rank(scores) > 1


def _in_order(folder: Path, systems: list[PairScores]) -> list[PairScores]:
    """The order of `_ORDER`, and among those that are equal there the order of evaluation."""
    known = read_origin(folder / ORIGIN_FILE)
    evaluated = list(known[1]) if known is not None else []
    places = {name: place for place, name in enumerate(evaluated)}
    return sorted(systems, key=lambda scores: (_rank(scores), places.get(slug(scores.system), len(places))))


def _rank(scores: PairScores) -> int:
    return next((rank for name, rank in _ORDER.items() if scores.system.startswith(name)), 1)
