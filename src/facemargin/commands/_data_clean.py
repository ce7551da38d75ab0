"""`facemargin data clean FACES --decisions decisions.csv --output DST`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console

from facemargin.auditing import Audit, load_audit
from facemargin.auditing.accepted import Accepted, accepted_findings
from facemargin.auditing.cleaning import Action, Cleaning, WrongLabels, plan_cleaning
from facemargin.auditing.cleaning_log import ABOUT_FILE, LOG_FILE, write_about, write_log
from facemargin.auditing.decisions import Decision, read_decisions
from facemargin.commands._arguments import parse
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.conversion import convert
from facemargin.data.findings import KINDS
from facemargin.data.open import open_images
from facemargin.data.source import LabeledImages
from facemargin.data.writers.base import WriterName
from facemargin.errors import ConfigError
from facemargin.registry import unknown_name

_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class CleanArguments:
    """Write a training set anew without what an audit found wrong and somebody accepted. The set itself is not touched.
    A log in the new set says what became of every image, and why. If it is interrupted, the same command continues."""

    source: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="FACES")]
    """The training set that was audited, wherever it lies now."""
    output: Annotated[Path, tyro.conf.arg(metavar="DST")]
    """The folder to write, which must not exist yet."""
    decisions: Path | None = None
    """The file of decisions that the page of the audit saves: findings.csv with a column decision, accept or reject."""
    audit: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """The folder with findings.csv and audit.json. The default is the folder of the decisions."""
    accept_from: float | None = None
    """Also accept findings that nobody decided on if their score is at least this, such as 0.95."""
    kinds: str = ""
    """The kinds of findings to act on, separated by commas, such as duplicate,no_face. The default is all."""
    mislabelled: WrongLabels = "drop"
    """What to do with images under a wrong label: drop them, or move them to the person suggested, where there is one.
    A wrong suggestion would put a new error in the place of the old one."""
    to: WriterName = "recordio"
    """The format to write."""
    root: Path | None = None
    """The folder to which the paths in an image list are relative. The default is the folder of the list."""


def main(arguments: Sequence[str]) -> int:
    args = parse(CleanArguments, "data clean", arguments)
    folder = _audit_folder(args)
    kinds = _kinds(args.kinds)
    audit, images = load_audit(folder), open_images(args.source, args.root)
    decisions = [] if args.decisions is None else read_decisions(args.decisions)
    accepted = [one for one in accepted_findings(audit, decisions, args.accept_from) if one.finding.kind in kinds]
    if not accepted:
        raise ConfigError(f"no finding is accepted, so that nothing would change; {_how_to_accept(args, decisions)}")
    cleaning = plan_cleaning(images, audit, accepted, decisions, args.mislabelled)
    _write(cleaning, audit, accepted, args, folder)
    return 0


def _audit_folder(args: CleanArguments) -> Path:
    if args.decisions is None and args.accept_from is None:
        raise ConfigError(
            "give --decisions decisions.csv, which the page of the audit saves (facemargin data review writes it), or "
            "--audit DIR with --accept-from 0.95, which accepts all findings of this score and above"
        )
    if args.accept_from is not None and not args.accept_from > 0:  # also nan
        raise ConfigError(f"--accept-from is {args.accept_from}, expected a score above 0, such as 0.95")
    if args.audit is not None:
        return args.audit
    if args.decisions is None:
        raise ConfigError("--accept-from needs the findings: add --audit DIR, the folder with findings.csv")
    return args.decisions.parent


def _kinds(text: str) -> set[str]:
    given = [name.strip() for name in text.split(",") if name.strip()]
    for name in given:
        if name not in KINDS:
            raise ConfigError(f"--kinds: {unknown_name('kind', name, list(KINDS))}")
    return set(given or KINDS)


def _how_to_accept(args: CleanArguments, decisions: Sequence[Decision]) -> str:
    parts = []
    if args.decisions is not None:
        accepted = counted(sum(one.accepted for one in decisions), "finding")
        parts.append(f"{args.decisions} accepts {accepted}" + (" of any kind" if args.kinds else ""))
    if args.accept_from is not None:
        of_kinds = f" of the kinds {args.kinds}" if args.kinds else ""
        parts.append(f"no undecided finding{of_kinds} has a score of {args.accept_from:g} or above")
    return ", and ".join(parts)


def _write(cleaning: Cleaning, audit: Audit, accepted: Sequence[Accepted], args: CleanArguments, folder: Path) -> None:
    settings = {
        "audit": str(folder),
        "decisions": None if args.decisions is None else str(args.decisions),
        "accept_from": args.accept_from,
        "kinds": args.kinds,
        "mislabelled": args.mislabelled,
    }
    for sentence in cleaning.not_applied[:_SHOWN]:
        say(f"not applied: {sentence}", "warning", stderr=True)
    if len(cleaning.not_applied) > _SHOWN:
        say(f"{len(cleaning.not_applied) - _SHOWN:,} more are not applied; {ABOUT_FILE} names them", stderr=True)

    def note(partial: Path, written: LabeledImages, place_M: NDArray[np.int64]) -> None:
        write_about(cleaning, audit, accepted, settings, partial)
        write_log(cleaning, written, place_M, partial, args.output)

    errors = Console(stderr=True)
    result = convert(
        cleaning.cleaned(),
        args.output,
        args.to,
        lambda doing: embedding_progress(errors, cleaning.images.name, doing),
        hashlib.sha256(cleaning.kept_M.astype("<i8").tobytes()).hexdigest(),
        note,
    )
    for message in result.corrupt[:_SHOWN]:
        say(message, stderr=True)
    if result.corrupt:
        shown = "" if len(result.corrupt) <= _SHOWN else f"; the first {_SHOWN} are named above"
        say(f"{counted(len(result.corrupt), 'image')} cannot be read and left out{shown}", "warning", stderr=True)
    if result.num_as_png:
        say(f"{counted(result.num_as_png, 'image')} of rare formats written as PNG, which is lossless", stderr=True)
    if cleaning.images.num_unlabeled:
        number = counted(cleaning.images.num_unlabeled, "image")
        say(f"left out are {number} with a negative label, which means an unknown person", "warning", stderr=True)
    _say_done(cleaning, accepted, result.num_images, args)


def _say_done(cleaning: Cleaning, accepted: Sequence[Accepted], written: int, args: CleanArguments) -> None:
    by_hand = sum(one.by_hand for one in accepted)
    left = f", {len(cleaning.not_applied):,} not applied" if cleaning.not_applied else ""
    by_score = f", {len(accepted) - by_hand:,} by score" if args.accept_from is not None else ""
    say(f"{counted(len(accepted), 'finding')} accepted: {by_hand:,} by hand{by_score}{left}")
    counts = cleaning.counts()
    done: dict[Action, str] = {
        "dropped": "dropped",
        "moved": "moved to another person",
        "joined": "of labels that were joined with others",
        "separated": "put under a new label",
    }
    for action, text in done.items():
        if counts[action]:
            say(f"{counted(counts[action], 'image')} {text}")
    if unchanged := sum(cleaning.actions_N[index] == "kept" for index in cleaning.why):
        say(f"{counted(unchanged, 'image')} with an accepted finding kept as it is; {LOG_FILE} says why")
    if cleaning.emptied:
        more = f" and {len(cleaning.emptied) - _SHOWN:,} more" if len(cleaning.emptied) > _SHOWN else ""
        names = ", ".join(cleaning.emptied[:_SHOWN]) + more
        say(f"{counted(len(cleaning.emptied), 'person', 'people')} left without an image, and left out: {names}")
    people = counted(len(cleaning.identity_names), "person", "people")
    say(f"{counted(written, 'image')} of {people} written as {args.to}, read back and the same; {args.output}")
    say(f"what became of every image, and why: {args.output / LOG_FILE}")
