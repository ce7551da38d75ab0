"""Three sentences for the top of a report: what was measured, the main figure with its interval, and what to be careful
of. They claim nothing that the intervals do not support."""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from facemargin.counting import counted
from facemargin.evaluation import Bootstrap, VerificationSummary
from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.metrics.bootstrap import FEWEST_IDENTITIES
from facemargin.evaluation.metrics.tar_at_far import OperatingPoint
from facemargin.evaluation.number_format import measured_rate
from facemargin.evaluation.protocols.figures import tar_name
from facemargin.evaluation.system_differences import SystemDifference, SystemDifferences
from facemargin.report.content import ReportContent
from facemargin.report.error_rate_figures import FEW_IMPOSTORS
from facemargin.report.evaluation_section import EvaluationSection
from facemargin.report.findings import HEADLINE_FAR, pair_counts
from facemargin.report.protocol_scores import ProtocolScores
from facemargin.report.wording import far_text, listed, percent

FEW_PEOPLE = 40
"""With fewer people than this, bootstrap intervals over people are known to be too narrow."""

COUNTS_BELOW = 0.05
"""A p-value below this, by Holm's correction, is called a difference, as in the table of differences."""

_ELSEWHERE = "other people and cameras have other error rates, so measure on your own before you rely on these"


def evaluation_sentences(
    section: EvaluationSection,
    baselines: Sequence[str],
    check: QualityCheck | None,
    other_sets: int,
    bootstrap: Bootstrap | None,
) -> list[str]:
    """The sentences of the first data set of a report, which has `other_sets` more. `baselines`: the names of the
    systems that have learnt nothing."""
    systems = [one for one in section.summaries if one.system not in baselines] or section.summaries
    return [
        _measured(systems, baselines, other_sets),
        _main_figure(systems, section.tested, bootstrap),
        _careful(systems, section.tested, check, bootstrap),
    ]


def protocol_sentences(systems: Sequence[ProtocolScores], differences: Mapping[str, SystemDifferences]) -> list[str]:
    """The sentences of the first protocol of a report without verification sets, with the differences of its systems
    by experiment."""
    names = [system.system for system in systems]
    measured = [name for name, value, _ in systems[0].figures if np.isfinite(value)]
    main = next((name for name in measured if _of_figure(name, differences)[0]), next(iter(measured), None))
    figures = []
    for system in systems:
        figures += [f"{system.system} {value:.2%} ({behind})" for name, value, behind in system.figures if name == main]
    was = "was" if len(names) == 1 else "were"
    rows, people = _of_figure(main or "", differences)
    cautions = [
        "these figures have no intervals, only their differences do" if rows else "these figures have no intervals"
    ]
    if rows and people < FEW_PEOPLE:
        cautions.append(_few_people(people))
    cautions.append(_ELSEWHERE)
    return [
        f"{listed(names)} {was} measured by the protocol {systems[0].protocol}.",
        f"{main}: {listed(figures)}{_verdict(rows)}." if figures else "None of its figures could be measured.",
        f"Be careful: {'; '.join(cautions)}.",
    ]


def _of_figure(name: str, differences: Mapping[str, SystemDifferences]) -> tuple[list[SystemDifference], int]:
    """The differences of the figure called `name`, and how many people were resampled."""
    for experiment, tested in differences.items():
        rows = [
            row
            for row in tested.rows
            if name in (tar_name(row.point.target_far), f"{experiment} {tar_name(row.point.target_far)}")
        ]
        if rows:
            return rows, tested.people
    return [], 0


def training_sentences(content: ReportContent) -> list[str]:
    """The sentences of a run that nothing was evaluated of."""
    steps = len(content.metrics.get("step", ()))
    if not steps:
        return []
    loss = _loss_of(content.recipe)
    return [
        f"A model was trained{f' with the loss {loss}' if loss else ''}, with {counted(steps, 'logged step')}.",
        "Nothing was measured on pairs of faces yet: facemargin evaluate does.",
        "Be careful: a low training loss says nothing about people whom the model has not seen.",
    ]


def _loss_of(recipe: str) -> str:
    """The name of the head in a recipe; empty if it has none."""
    found = re.search(r"^head:\n(?: +.*\n)*? +name: *(\S+)", recipe, re.MULTILINE)
    return found[1] if found else ""


def _measured(systems: Sequence[VerificationSummary], baselines: Sequence[str], other_sets: int) -> str:
    names = listed([summary.system for summary in systems])
    verb = "was measured" if len(systems) == 1 else "were compared"
    people = {summary.people for summary in systems}
    known = people.pop() if len(people) == 1 else None
    of_people = f" of {counted(known, 'person', 'people')}" if known else ""
    beside = f", beside {counted(len(baselines), 'baseline')} that learnt nothing of faces" if baselines else ""
    more = f"; {counted(other_sets, 'other set')} below" if other_sets else ""
    return f"{names} {verb} on {systems[0].dataset}: {pair_counts(systems)}{of_people}{beside}{more}."


def _main_figure(
    systems: Sequence[VerificationSummary], differences: SystemDifferences, bootstrap: Bootstrap | None
) -> str:
    figures = []
    for summary in systems:
        point = _point(summary)
        interval = ""
        if point.interval is not None and bootstrap is not None:
            low, high = (measured_rate(rate, summary.genuine) for rate in point.interval)
            interval = f" ({percent(bootstrap.confidence)} interval {low} to {high})"
        figures.append(f"{summary.system} {measured_rate(point.tar, summary.genuine)}{interval}")
    found = [row for row in differences.rows if row.point.target_far == HEADLINE_FAR]
    return f"At {far_text(HEADLINE_FAR)} the share of genuine pairs accepted is: {listed(figures)}{_verdict(found)}."


def _verdict(rows: Sequence[SystemDifference]) -> str:
    told = [f"{row.first} and {row.second}" for row in rows if row.adjusted_p < COUNTS_BELOW]
    not_told = [f"{row.first} and {row.second}" for row in rows if not row.adjusted_p < COUNTS_BELOW]
    verdict = ""
    if told:
        verdict += f"; between {listed(told)} this is more than other people would explain"
    if not_told:
        verdict += f"; between {listed(not_told)} no difference is shown"
    return verdict


def _few_people(people: int) -> str:
    known = counted(people, "person", "people")
    return f"with {known} the intervals are too narrow, and differences look surer than they are"


def _careful(
    systems: Sequence[VerificationSummary],
    differences: SystemDifferences,
    check: QualityCheck | None,
    bootstrap: Bootstrap | None,
) -> str:
    accepted = min(_point(summary).impostors_accepted for summary in systems)
    people = min((summary.people for summary in systems if summary.people is not None), default=None)
    cautions = []
    if accepted < FEW_IMPOSTORS:
        cautions.append(f"this figure rests on {counted(accepted, 'wrongly accepted impostor pair')}")
    if bootstrap is None:
        cautions.append("no intervals were computed")
    elif people is None:
        cautions.append("there are no intervals, because it is not known which people the pairs show")
    elif people < FEWEST_IDENTITIES:
        cautions.append(f"{counted(people, 'person', 'people')} are too few for intervals")
    elif people < FEW_PEOPLE:
        cautions.append(_few_people(people))
    if len(systems) > 1 and not differences.rows:
        cautions.append("whether the systems differ could not be tested")
    if check is not None and not check.helps:
        cautions.append("the quality is not shown to help")
    cautions.append(_ELSEWHERE)
    return f"Be careful: {'; '.join(cautions)}."


def _point(summary: VerificationSummary) -> OperatingPoint:
    return next(point for point in summary.tar_at_far.points if point.target_far == HEADLINE_FAR)
