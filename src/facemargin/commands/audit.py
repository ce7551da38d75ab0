"""`facemargin audit RUN` and `facemargin audit --model MODEL --data FACES`."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.text import Text

from facemargin.auditing import KINDS, Audit, Finding
from facemargin.auditing import audit as audit_set
from facemargin.auditing.interclass import Interclass
from facemargin.auditing.plane import EMBEDDINGS
from facemargin.auditing.run import audited_images
from facemargin.commands._arguments import parse
from facemargin.commands._device import ComputingArguments, check_batch_size, load_on_device
from facemargin.commands._origin import say_replaced
from facemargin.commands._own_network import file_key
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.findings import FINDINGS_FILE
from facemargin.data.open import open_images
from facemargin.data.source import LabeledImages
from facemargin.detection.detector import DETECTORS, Detector, DetectorName, create_detector, require_detector
from facemargin.errors import ConfigError, DataError
from facemargin.models.load import named_code
from facemargin.models.model import Model
from facemargin.models.model import Progress as Report
from facemargin.models.views import Views
from facemargin.report.audit_page import PAGE_FILE, write_audit_page
from facemargin.tables import Table
from facemargin.training.audited_data import AUDIT_FILE


@dataclass(frozen=True, kw_only=True)
class Arguments(ComputingArguments):
    """Find what is wrong with a training set: wrong labels, people under two labels, two people under one, copies,
    images in which nobody can be recognised, and images of no face. From the recording of a run (trained with
    --recorder True), or from the embeddings of any model. No file of the set is changed."""

    run: Annotated[tyro.conf.Positional[Path | None], tyro.conf.arg(metavar="RUN")] = None
    """The folder of a run with a recording. It tells of wrong labels, of people under two labels and of images in which
    nobody can be recognised; copies are found by their pictures. --model adds the rest."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """A run folder, a model file, the name of a released model (facemargin models), or FILE.py:NAME, a network of your
    own. It should be one that has not been trained on this set, which would have learned its wrong labels."""
    data: Annotated[str | None, tyro.conf.arg(metavar="FACES")] = None
    """A folder with one folder per person, or any other training set. With RUN, by default that of the run."""
    root: Path | None = None
    """The folder to which the paths in an image list are relative. The default is the folder of the list."""
    output: Path | None = None
    """A folder for findings.csv, audit.json and audit.html, the page to decide on. Embeddings are kept in it, too, so
    that an audit that was interrupted goes on, and another audit by the same model need not embed again."""
    rows: int = 20
    """The number of findings to print, the surest of each kind in turn."""
    batch_size: int | None = None
    """Number of images to embed at a time. The default is 64 on the CPU and 256 on a GPU."""
    views: Views | None = None
    """Views of an image to average. The default is that of the model."""
    detector: DetectorName | None = None
    """What looks for faces in images that seem to show none. The default is the first that is installed."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "audit", arguments)
    _check(args)
    images = audited_images(args.run, None if args.data is None else open_images(args.data, args.root))
    detector = _detector(args)
    model = None if args.model is None else load_on_device(args.model, args)
    store = None if args.output is None or model is None else args.output / EMBEDDINGS
    if args.output is not None:
        for name in (FINDINGS_FILE, AUDIT_FILE, PAGE_FILE):
            say_replaced(args.output / name)
    audit = audit_set(
        args.run,
        model=model,
        data=images,
        detector=detector,
        batch_size=args.batch_size,
        views=args.views,
        store=store,
        file_key="" if args.model is None else _file_key(args.model, model),
        progress=_progress,
    )
    if audit.model is not None:
        audit.model["name"] = args.model
    if args.output is not None:
        audit.save(args.output)
        _write_page(audit, images, args.output / PAGE_FILE)
    _say(audit, args)
    return 0


def _check(args: Arguments) -> None:
    if args.run is None and (args.model is None or args.data is None):
        raise ConfigError(
            "give RUN, the folder of a run with a recording, or --model MODEL with --data FACES, as in facemargin "
            "audit --model sface --data path/to/faces"
        )
    if args.model is None:
        for name, given in (
            ("--views", args.views is not None),
            ("--batch-size", args.batch_size is not None),
            ("--detector", args.detector is not None),
        ):
            if given:
                raise ConfigError(f"{name} is for embedding: add --model, or remove {name}")
        args.require_defaults(Path(str(args.run)))
    if args.root is not None and args.data is None:
        raise ConfigError("--root is for an image list: add --data, or remove --root")
    if args.rows < 0:
        raise ConfigError(f"--rows is {args.rows}, expected 0 or more")
    if args.output is not None and args.output.exists() and not args.output.is_dir():
        raise ConfigError(f"--output is {args.output}, which is a file: expected the name of a folder")
    check_batch_size(args.batch_size)


def _detector(args: Arguments) -> Detector | None:
    """The chosen detector, or the first that is installed, if a model will find images to look at."""
    if args.model is None:
        return None
    if args.detector is not None:
        return require_detector(args.detector)
    for name in sorted(DETECTORS.names()):
        try:
            return create_detector(name)
        except ConfigError:
            continue
    return None


def _file_key(given: str, model: Model | None) -> str:
    needed = model is not None and (not model.recognizer.state_dict() or named_code(given) is not None)
    return file_key(given) if needed else ""


def _write_page(audit: Audit, images: LabeledImages, path: Path) -> None:
    with _progress("reading faces", "images") as report:
        try:
            shown = write_audit_page(audit, images, path, report)
        except DataError as error:  # the findings are there all the same
            say(f"{path} is not written: {error}", "warning", stderr=True)
            return
    if shown < len(audit):
        say(f"{path} shows {shown:,} of {len(audit):,} findings; facemargin data review --most shows more", stderr=True)


@contextmanager
def _progress(doing: str, unit: str) -> Iterator[Report]:
    with embedding_progress(Console(stderr=True), "", doing, unit) as report:
        yield report


def _say(audit: Audit, args: Arguments) -> None:
    console = Console()
    counts = Table()
    counts.add_column("kind")
    counts.add_column("findings", justify="right")
    counts.add_column("of score\n≥ .5", justify="right")
    counts.add_column("estimated\nprecision", justify="right")
    counts.add_column("what is wrong", overflow="fold")
    for kind, number in audit.counts().items():
        looked = audit.kinds[kind]
        sure = sum(finding.kind == kind and finding.score >= 0.5 for finding in audit)
        precision = "" if looked.estimated_precision is None else f"{100 * looked.estimated_precision:.0f} %"
        shown = [f"{number:,}", f"{sure:,}"] if looked.threshold is not None else ["not looked for", ""]
        counts.add_row(kind, *shown, precision, KINDS[kind])
    console.print(counts)
    surest = _in_turn(audit, args.rows)
    for finding in surest:
        console.print(_lines(finding, audit.data.name), soft_wrap=True)
    if len(audit) > len(surest):
        say(f"and {len(audit) - len(surest):,} more")
    for sentence in audit.left_out[:5]:
        say(f"left out: {sentence}", stderr=True)
    if len(audit.left_out) > 5:
        say(f"left out: and {len(audit.left_out) - 5:,} more, all named in {AUDIT_FILE}", stderr=True)
    if audit.interclass is not None:
        say(_filtering(audit.interclass))
    people = counted(audit.data.people, "person", "people")
    what = f"{counted(len(audit), 'finding')} in {counted(audit.data.images, 'image')} of {people}"
    say(f"{what}; {args.output}" if args.output else f"{what}; --output DIR writes all of them")


def _lines(finding: Finding, root: str) -> Text:
    """A finding as it is printed: its image, in the set's folder, and what it was found for."""
    path, other = (_shown(name.removeprefix(f"{root}{os.sep}")) for name in (finding.path, finding.other_path))
    label = f"{finding.label} → {finding.suggested}" if finding.suggested else finding.label
    beside = f"; the other: {other}" if other else ""
    return Text.assemble(
        (f"{finding.kind:<14}", "bold"), f"{finding.score:>5.2f} {path}\n",
        (f"{' ' * 20}{_shown(label)}: {_shown(finding.reason)}{beside}", "dim"),
    )  # fmt: skip


def _filtering(measured: Interclass) -> str:
    suspects = ""
    if measured.suspects:
        suspects = f", and {measured.suspects_above:,} of {counted(measured.suspects, 'suspect')}"
    return (
        f"interclass filtering: at most 1 in 1,000 of {counted(measured.ordinary, 'ordinary image')} is nearer than "
        f"{measured.threshold:.2f} to another person's centre{suspects}: --head.interclass-filtering-threshold "
        f"{measured.threshold:.2f}"
    )


def _in_turn(audit: Audit, rows: int) -> list[Finding]:
    """The surest of each kind, then the second of each, and so on; by kind."""
    ranked, seen = [], dict.fromkeys(KINDS, 0)
    for finding in audit:
        ranked.append((seen[finding.kind], finding))
        seen[finding.kind] += 1
    chosen = {id(finding) for _, finding in sorted(ranked, key=lambda item: item[0])[:rows]}
    return [finding for finding in audit if id(finding) in chosen]


def _shown(text: str) -> str:
    return os.fsencode(text).decode(errors="replace")
