"""`facemargin quality --check MODEL --data FACES`, and what other verbs say of a model's quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from facemargin.commands._device import load_on_device
from facemargin.commands._embedding import EmbeddingArguments, check_arguments, warn_of_unreadable
from facemargin.commands._face_source import FaceSource
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted, none_readable
from facemargin.data.open import open_images
from facemargin.data.source import ArrayImages, LabeledImages, RGBImage, WithLabels, labeled_subset
from facemargin.decision.checked_model import (
    CHECK_FILE,
    CheckedModel,
    check_place,
    earlier_checks,
    find_check,
    find_checks,
)
from facemargin.errors import DataError, ImageError
from facemargin.evaluation.check_pictures import choose_faces
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.embeddings import Embed, embed_once
from facemargin.evaluation.quality_check import MeasureQuality, check_measures, check_quality
from facemargin.evaluation.quality_check_table import check_tables
from facemargin.features.measures import Measure, finite_qualities, make_measure
from facemargin.models.model import Model
from facemargin.models.training_faces import not_of_others, warn_of_training_faces
from facemargin.training.run_folder import RunFolder

DEFAULT_FACES = 1000


@dataclass(frozen=True)
class CheckOptions:
    """`data`: the faces, of which at most `faces` are taken. `output`: the file for the result; by default the place
    where it is found again. `measures`: the names of those that are checked; by default the model's own."""

    data: str
    faces: int
    output: Path | None
    measures: tuple[str, ...] = ()


def check_model(args: EmbeddingArguments, options: CheckOptions) -> int:
    """Check the quality of the model, print what was found, and store it."""
    check_arguments(args)
    faces = _read_faces(args, options)
    model = load_on_device(args.model, args)
    warn_of_training_faces(model.info, faces, not_of_others("findings"), compare_images=not args.detect)
    checks = _checks(args, options.measures, model, faces)
    console = Console()
    for check in checks.values():
        for table in check_tables(check):
            console.print(table)
        by = "its" if check.measure == model.info.quality else "the measure"
        say(f"the quality of {args.model} by {by} {check.measure}: {check.words}")
        for reason in check.reasons:
            say(f"- {reason}")
    place = check_place(args.model)
    written = options.output or place
    if options.output is not None:
        say_replaced(written)
    earlier = earlier_checks(place, model, args.views) if options.output is None else {}
    CheckedModel.of(model, earlier | checks, args.views).save(written)
    kept = f"kept in {written}"
    say(kept if written == place else f"{kept}; where qualities are shown, {place} is looked for")
    return 0


def _checks(
    args: EmbeddingArguments, measures: tuple[str, ...], model: Model, faces: LabeledImages
) -> dict[str, QualityCheck]:
    """The checks of the model's own quality, or of the measures with these names, which are made before anything is
    embedded, so that one that does not apply is refused at once."""
    made = {name: make_measure(name, model) for name in measures}
    with embedding_progress(Console(stderr=True), faces.name, "checking on") as progress:
        embed = embed_once(lambda pictures: model.embed(pictures, args.batch_size, args.views, progress))
        if not made:
            return {model.info.quality: check_quality(embed, faces, model.info.quality)}
        return check_measures(embed, faces, {name: _of_pictures(name, embed, made[name]) for name in made})


def _of_pictures(name: str, embed: Embed, measure: Measure) -> MeasureQuality:
    return lambda pictures: finite_qualities(measure(pictures, embed), pictures, name)


def warn_of_quality(path: Path, model: Model) -> None:
    """Warn if the quality of a model, which was loaded from `path`, is not shown to help."""
    check = find_check(path, model)
    if check is not None and not check.helps:
        _say_state(check, model)


def say_quality_state(path: Path, model: Model, measures: Sequence[str] = ()) -> None:
    """Say of the qualities that are shown, those by `measures`, or else the model's own, whether they are shown to
    help, or how to check it."""
    checks = find_checks(path, model, measures or [model.info.quality])
    for check in checks.values():
        _say_state(check, model)
    unknown = [name for name in measures if name not in checks]
    how = f"never checked: facemargin quality --check {path} --data FACES"
    if unknown:
        say(f"whether quality by {' or '.join(unknown)} helps was {how} --measure {' '.join(unknown)}")
    elif not checks:
        say(f"whether this quality helps was {how}")


def _say_state(check: QualityCheck, model: Model) -> None:
    whose = "the model's quality by its" if check.measure == model.info.quality else "quality by"
    state = f"{whose} {check.measure} is {check.in_short}"
    if check.helps:
        say(state)
    else:
        say(state, "warning", stderr=True)


def keep_check(path: Path, model: Model, output: Path) -> None:
    """Say whether the quality of the model that was evaluated is shown to help, and keep the check for the report in
    `output`. The folder of a run keeps the check of its own model."""
    warn_of_quality(path, model)
    check = find_check(path, model)
    if check is None:
        drop_check(output)
    elif not RunFolder(output).model.exists():
        CheckedModel.of(model, {check.measure: check}).save(output / CHECK_FILE)


def drop_check(output: Path) -> None:
    """Remove the check that was kept in `output` for the report of an earlier evaluation; it is not of this one. The
    folder of a run keeps the check of its own model."""
    if not RunFolder(output).model.exists():
        (output / CHECK_FILE).unlink(missing_ok=True)


def _read_faces(args: EmbeddingArguments, options: CheckOptions) -> LabeledImages:
    """The chosen faces that can be read. The others are named."""
    every = open_images(options.data)
    chosen = choose_faces(every, options.faces)
    source = FaceSource(every, args.detect, args.on_several, args.detector)
    readable: list[int] = []
    found: list[RGBImage] = []
    unreadable: list[str] = []
    with embedding_progress(Console(stderr=True), every.name, "reading") as progress:
        for number, row in enumerate(chosen.tolist(), 1):
            try:
                image = source.read(row)
            except ImageError as error:
                unreadable.append(str(error))
            else:
                readable.append(row)
                found += [image] if args.detect else []
            progress(number, len(chosen))
    source.warn()
    warn_of_unreadable(unreadable, len(readable), args.detect)
    if not readable:
        raise DataError(f"{none_readable(len(chosen), every.name)}; {unreadable[0]}")
    faces = labeled_subset(every, readable)
    if args.detect:  # every face is read many times, but should be found once
        faces = WithLabels(ArrayImages(found, every.name), faces.labels, faces.identity_names)
    faces.squashing_told = True
    people = counted(len(np.unique(faces.labels)), "person", "people")
    if len(readable) < len(every):
        say(f"{len(readable):,} of {len(every):,} faces, of {people} (--faces chooses how many)")
    else:
        say(f"{counted(len(readable), 'face')} of {people}")
    return faces
