"""The whole report as sections of blocks, which every format writes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from facemargin.evaluation import Bootstrap
from facemargin.evaluation.folder import slug
from facemargin.evaluation.system_differences import SystemDifferences
from facemargin.report.blocks import Block, Code, Facts, Section
from facemargin.report.checked_section import checked_section
from facemargin.report.content import ReportContent, is_baseline
from facemargin.report.evaluation_section import EvaluationSection, evaluation_section
from facemargin.report.origins import latest_date, origin_blocks
from facemargin.report.protocol_section import protocol_section
from facemargin.report.recording_section import recording_blocks
from facemargin.report.released_section import released_section
from facemargin.report.section_blocks import check_of_shown, evaluation_blocks, protocol_blocks, released_blocks
from facemargin.report.style import LineStyle, line_styles
from facemargin.report.summary_sentences import evaluation_sentences, protocol_sentences, training_sentences
from facemargin.report.training_section import training_figures, validation_figures


@dataclass(frozen=True)
class Document:
    """A report without a format: its title, its date if it is known, the sentences at its top, and its sections."""

    title: str
    date: str
    summary: list[str]
    sections: list[Section]

    @property
    def subtitle(self) -> str:
        return f"facemargin report, {self.date}" if self.date else "facemargin report"


def report_document(content: ReportContent, bootstrap: Bootstrap | None) -> Document:
    """The report of `content`. `bootstrap` computes the intervals; None leaves them out. Raises DataError for scores
    that the metrics do not accept."""
    systems = [system.system for evaluation in content.evaluations for system in evaluation.systems]
    systems += [system.system for protocol in content.protocols for system in protocol]
    styles = line_styles(systems)
    evaluated = [
        evaluation_section(evaluation, number, styles, bootstrap)
        for number, evaluation in enumerate(content.evaluations, start=1)
    ]
    sections = list(_sections(content, evaluated, styles, bootstrap))
    date = str(content.environment.get("date") or latest_date(content.origins))
    return Document(content.title, date, content.summary or _summary(content, evaluated, bootstrap), sections)


def _summary(content: ReportContent, evaluated: Sequence[EvaluationSection], bootstrap: Bootstrap | None) -> list[str]:
    with_scores = [place for place, section in enumerate(evaluated) if section.summaries]
    if with_scores:
        first = with_scores[0]
        baselines = [scores.system for scores in content.evaluations[first].systems if is_baseline(scores)]
        others = len(with_scores) - 1
        check = check_of_shown(content.quality_check, evaluated[first])
        return evaluation_sentences(evaluated[first], baselines, check, others, bootstrap)
    if not content.protocols:
        return training_sentences(content)
    return protocol_sentences(content.protocols[0], _experiments(content, content.protocols[0][0].protocol))


def _experiments(content: ReportContent, protocol: str) -> Mapping[str, SystemDifferences]:
    """The differences of the systems by a protocol, by experiment."""
    found = content.protocol_differences.get(slug(protocol))
    return {} if found is None else found.experiments


def _sections(
    content: ReportContent,
    evaluated: Sequence[EvaluationSection],
    styles: dict[str, LineStyle],
    bootstrap: Bootstrap | None,
) -> Iterator[Section]:
    released = None if content.released is None else released_section(content.released, bootstrap)
    if released is not None:
        title = f"A released recogniser: {released.system}"
        yield Section("released", title, "Released recogniser", list(released_blocks(released)))
    for number, scores in enumerate(content.protocols, start=1):
        protocol = protocol_section(scores, number, styles)
        name, prefix = protocol.protocol, f"protocol-{number}"
        blocks = list(protocol_blocks(protocol, prefix, _experiments(content, name)))
        yield Section(prefix, f"Protocol {name}", name, blocks, prefix, f"protocol-{slug(name)}")
    for number, (section, evaluation) in enumerate(zip(evaluated, content.evaluations, strict=True), start=1):
        checked = checked_section(content.quality_check, evaluation)
        prefix = f"evaluation-{number}"
        blocks = list(evaluation_blocks(section, checked, content.quality_check, prefix))
        title = f"Evaluation on {section.dataset}"
        yield Section(f"data-set-{number}", title, section.dataset, blocks, prefix, slug(section.dataset))
    if content.origins:
        yield Section("origin", "Origin of the figures", "Origin", list(origin_blocks(content.origins)))
    training: list[Block] = [*training_figures(content.metrics), *validation_figures(content.validation)]
    if content.recording is not None:
        training += recording_blocks(content.recording)
    if training:
        yield Section("training", "Training", "Training", training)
    if content.recipe:
        yield Section("recipe", "Recipe", "Recipe", [Code(content.recipe)])
    if content.environment:
        facts = [(name.replace("_", " "), str(value)) for name, value in content.environment.items()]
        yield Section("environment", "Environment", "Environment", [Facts(facts)])
