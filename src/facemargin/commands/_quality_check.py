"""`facemargin quality --check MODEL --data FACES`, and what other verbs say of a model's quality."""

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
from facemargin.data.source import ArrayImages, ImageSource, LabeledImages, RGBImage, WithLabels, labeled_subset
from facemargin.decision.checked_model import CHECK_FILE, CheckedModel, check_place, find_check
from facemargin.errors import DataError, ImageError
from facemargin.evaluation.check_pictures import choose_faces
from facemargin.evaluation.embeddings import Embeddings
from facemargin.evaluation.quality_check import check_quality
from facemargin.evaluation.quality_check_table import check_tables
from facemargin.models.model import Model

DEFAULT_FACES = 1000


@dataclass(frozen=True)
class CheckOptions:
    """`data`: the faces, of which at most `faces` are taken. `output`: the file for the result; by default the place
    where it is found again."""

    data: str
    faces: int
    output: Path | None


def check_model(args: EmbeddingArguments, options: CheckOptions) -> int:
    """Check the quality of the model, print what was found, and store it."""
    check_arguments(args)
    faces = _read_faces(args, options)
    model = load_on_device(args.model, args)
    with embedding_progress(Console(stderr=True), faces.name, "checking on") as progress:

        def embed(pictures: ImageSource) -> Embeddings:
            return model.embed(pictures, args.batch_size, args.views, progress)

        check = check_quality(embed, faces, model.info.quality)
    console = Console()
    for table in check_tables(check):
        console.print(table)
    say(f"the quality of {args.model} by its {check.measure}: {check.words}")
    for reason in check.reasons:
        say(f"- {reason}")
    place = check_place(args.model)
    written = options.output or place
    if options.output is not None:
        say_replaced(written)
    CheckedModel.of(model, {check.measure: check}, args.views).save(written)
    kept = f"kept in {written}"
    say(kept if written == place else f"{kept}; where qualities are shown, {place} is looked for")
    return 0


def warn_of_quality(path: Path, model: Model) -> None:
    """Warn if the quality of a model, which was loaded from `path`, is not shown to help."""
    check = find_check(path, model)
    if check is not None and not check.helps:
        say(f"the model's quality by its {check.measure} is {check.in_short}", "warning", stderr=True)


def say_quality_state(path: Path, model: Model) -> None:
    """Say whether the quality of a model is shown to help, or how to check it, where its quality is the subject."""
    check = find_check(path, model)
    if check is None:
        say(f"whether this quality helps was never checked: facemargin quality --check {path} --data FACES")
    elif check.helps:
        say(f"the model's quality by its {check.measure} is {check.in_short}")
    else:
        warn_of_quality(path, model)


def keep_check(path: Path, model: Model, output: Path) -> None:
    """Say whether the quality of the model that was evaluated is shown to help, and keep the check for the report in
    `output`."""
    warn_of_quality(path, model)
    kept = output / CHECK_FILE
    if kept == check_place(path):
        return
    check = find_check(path, model)
    if check is not None:
        CheckedModel.of(model, {check.measure: check}).save(kept)
    elif kept.exists():
        kept.unlink()


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
    people = counted(len(np.unique(faces.labels)), "person", "people")
    if len(readable) < len(every):
        say(f"{len(readable):,} of {len(every):,} faces, of {people} (--faces chooses how many)")
    else:
        say(f"{counted(len(readable), 'face')} of {people}")
    return faces
