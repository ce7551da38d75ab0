"""`facemargin replay RUN --heads cosface,adaface`: a recorded training under other margins."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.comparison.plan import parse_heads, scale_of
from facemargin.data.findings import NOISE, SURE
from facemargin.errors import ConfigError
from facemargin.evaluation.plain import plain
from facemargin.files.atomic import write_text_atomically
from facemargin.files.yaml import read_yaml
from facemargin.recording import Recording, load_recording
from facemargin.recording.replay import NEEDED, replay
from facemargin.recording.replay_summary import LOSS_QUANTILES, ReplayedVisits, ReplaySummary, replayed_visits
from facemargin.tables import Table
from facemargin.training.recipe import margin_settings, recipe_from_mapping
from facemargin.training.run_folder import RunFolder
from facemargin.training.suspected_samples import kinds_of_samples


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Compute what other margins would have made of a training with recorder: true: the losses, and which images get
    the gradient, at the same features and class centers. The run's own margin comes first. It is not the training that
    another margin would have led to."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The folder of a run that was recorded."""
    heads: str = ""
    """Margins, such as funface,adaface,magface:margin=0.3 (settings follow after colons), or all. Without a scale of
    its own, a margin takes that of the recording."""
    steps: str = ""
    """The steps to look at, such as 1-500. The default is the later half of the recording."""
    bands: int = 5
    """The number of equal parts in which images are divided by the length of their feature, their quality."""
    audit: Path | None = None
    """The folder of an audit of the training set (facemargin audit): also show which share of the gradient falls on
    images that it found mislabelled, unrecognisable or without a face."""
    output: Path | None = None
    """A .json file for the numbers."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "replay", arguments)
    if args.output is not None and args.output.suffix != ".json":
        raise ConfigError(f"--output is {args.output}, expected a name that ends in .json")
    recording = load_recording(args.run, NEEDED)
    recipe = RunFolder(args.run).followed_recipe()
    suspect_N = None
    if args.audit is not None:
        suspect_N = kinds_of_samples(recipe, args.audit, NOISE, len(recording.labels)) != ""
    visits = replayed_visits(recording, _steps(args.steps), args.bands, suspect_N)
    console = Console()
    summaries: dict[str, ReplaySummary] = {}
    refused: dict[str, str] = {}
    for label, (name, settings, seed) in _margins(args, recording).items():
        try:
            with embedding_progress(console, label, "replaying", "steps") as report:
                replayed = replay(recording, name, seed=seed, progress=report, **settings)
        except ConfigError as error:
            if args.heads != "all" or not summaries:
                raise
            refused[label] = str(error)
        else:
            summaries[label] = visits.summarize(replayed)
    console.print(_table(summaries, visits))
    _say_rest(summaries, refused, visits)
    if args.output is not None:
        say_replaced(args.output)
        write_text_atomically(args.output, json.dumps(_json(summaries, refused, visits), indent=2) + "\n")
        say(f"all numbers: {args.output}")
    return 0


def _margins(args: Arguments, recording: Recording) -> dict[str, tuple[str, dict[str, object], int]]:
    """The run's own margin, and then those of --heads: name, settings, and the seed of the training."""
    path = RunFolder(args.run).recipe
    mapping = read_yaml(path)
    own = recipe_from_mapping(mapping, str(path))
    scale = recording.about.get("scale")
    found = {f"{own.head.name} (this run)": (own.head.name, margin_settings(own.head), own.seed)}
    for label, overrides in (parse_heads(args.heads) if args.heads else {}).items():
        same = scale_of(overrides[1], scale if isinstance(scale, float | int) else None)
        head = recipe_from_mapping(mapping, str(path), [*same, *overrides]).head
        settings = margin_settings(head)
        if (head.name, settings) != next(iter(found.values()))[:2]:
            found[label] = (head.name, settings, own.seed)
    return found


def _steps(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    first, dash, last = text.partition("-")
    if not (first.isdecimal() and (last.isdecimal() if dash else True)):
        raise ConfigError(f"--steps is {text!r}, expected a step or a range of steps such as 1-500")
    return int(first), int(last if dash else first)


def _table(summaries: Mapping[str, ReplaySummary], visits: ReplayedVisits) -> Table:
    table = Table(title=f"steps {visits.first_step:,} to {visits.last_step:,}: {visits.count:,} visits")
    table.add_column("margin")
    table.add_column("loss:\nmean", justify="right")
    table.add_column("\nmedian", justify="right")
    table.add_column("\n5–95 %", justify="right")
    for band in range(visits.bands):
        table.add_column(f"pull\non {band + 1}", justify="right")
    if visits.suspect_V is not None:
        table.add_column("pull on\nsuspects", justify="right")
    for label, summary in summaries.items():
        low, _, median, _, high = summary.loss_quantiles
        shares = [f"{share:.1%}" for share in summary.band_shares]
        if summary.suspect_share is not None:
            shares.append(f"{summary.suspect_share:.1%}")
        table.add_row(label, f"{summary.mean_loss:.3g}", f"{median:.3g}", f"{low:.2g}–{high:.3g}", *shares)
    return table


def _say_rest(summaries: Mapping[str, ReplaySummary], refused: Mapping[str, str], visits: ReplayedVisits) -> None:
    say(
        "pull: the share of the gradient with respect to the target cosines that falls on each of "
        f"{visits.bands} equal parts of the visits, from the shortest features (1) to the longest ({visits.bands})"
    )
    if visits.suspect_visits is not None:
        share = f"{visits.suspect_visits:.2%} of the visits"
        say(f"suspects: the images that the audit found with a score of {SURE:g} or more, {share}")
    noted: dict[str, list[str]] = {}
    for label, summary in summaries.items():
        for note in summary.notes:
            noted.setdefault(note, []).append(label)
    for note, labels in noted.items():
        say(note if len(labels) == len(summaries) else f"{', '.join(labels)}: {note}", "note")
    for label, reason in refused.items():
        say(f"{label} is left out: {reason}", "note")


def _json(summaries: Mapping[str, ReplaySummary], refused: Mapping[str, str], visits: ReplayedVisits) -> object:
    return plain(
        {
            "steps": [visits.first_step, visits.last_step],
            "visits": visits.count,
            "suspect_visits": visits.suspect_visits,
            "loss_quantiles_at": LOSS_QUANTILES,
            "margins": {label: asdict(summary) for label, summary in summaries.items()},
            "left_out": dict(refused),
        }
    )
