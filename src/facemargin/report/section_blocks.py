"""The sections of a report as blocks, in the order in which a reader meets them."""

from collections.abc import Iterator, Mapping

from facemargin.evaluation.checked_quality import QualityCheck
from facemargin.evaluation.system_differences import SystemDifferences
from facemargin.report.blocks import (
    Block,
    Cell,
    Credit,
    DecisionsBlock,
    FacesBlock,
    Heading,
    Notes,
    Paragraph,
    ReconstructionsBlock,
    Table,
    TableBlock,
)
from facemargin.report.checked_section import CheckedSection
from facemargin.report.decision_gallery import DecisionGallery
from facemargin.report.differences_section import differences_blocks
from facemargin.report.evaluation_section import EvaluationSection
from facemargin.report.gallery import FaceGallery
from facemargin.report.protocol_section import ProtocolSection
from facemargin.report.released_section import ReleasedSection
from facemargin.report.wording import as_sentence, percent

FACES_A_ROW = 8


def released_blocks(section: ReleasedSection) -> Iterator[Block]:
    yield from map(Paragraph, section.about)
    for number, gallery in enumerate(section.decisions, start=1):
        yield from _decisions(gallery, f"released-decisions-{number}")
    for checked in section.checks:
        yield from _checked(checked)
    yield from map(Paragraph, section.discard_sentences)
    yield from section.figures
    yield TableBlock("released-verification", f"Verification by {section.system}", section.table, "Pairs of")
    yield Notes(section.notes)


def protocol_blocks(
    section: ProtocolSection, prefix: str, differences: Mapping[str, SystemDifferences] | None = None
) -> Iterator[Block]:
    """The blocks of a protocol, with the differences of its systems by experiment."""
    for caption, table in section.tables:
        yield TableBlock(f"{prefix}-{caption.split()[0].lower()}", caption, table)
    yield Notes(section.notes)
    several = len(differences or {}) > 1
    for number, (experiment, tested) in enumerate((differences or {}).items(), start=1):
        name = f"{prefix}-differences{f'-{number}' if several else ''}"
        of = f"protocol {section.protocol}{f', {experiment}' if several else ''}"
        yield from differences_blocks(tested, name, of, f" in {experiment}" if several else "")
    yield from section.figures


def check_of_shown(check: QualityCheck | None, section: EvaluationSection) -> QualityCheck | None:
    """`check`, unless the section shows faces by another measure, of which it says nothing."""
    measure = section.faces.measure if section.faces else ""
    return None if check is None or measure not in ("", check.measure) else check


def evaluation_blocks(
    section: EvaluationSection, checked: CheckedSection | None, check: QualityCheck | None, prefix: str
) -> Iterator[Block]:
    """The blocks of one data set. `check`: of the quality of the model, which is named beside what rests on it."""
    measure = section.faces.measure if section.faces else ""
    check = check_of_shown(check, section)
    if section.table:
        yield from _verification(section, section.table, prefix)
    yield from section.groups
    if checked:
        yield from _checked(checked)
    said = bool(checked)
    if section.discard_table:
        yield Heading("What discarding low quality does")
        yield from map(Paragraph, section.discard_sentences)
        if not said:
            yield from _quality_state(check)
            said = True
        caption = "False non-match rate as pairs are discarded, lowest quality first"
        yield TableBlock(f"{prefix}-discarded", caption, section.discard_table)
        yield Notes(["In the last column, 1 is what discarding at random does; below 1, quality helps."])
    if section.decisions:
        yield from _decisions(section.decisions, f"{prefix}-decisions")
    if section.quality:
        yield Heading("Measures of quality compared")
        for number, (caption, table) in enumerate(section.quality.tables, start=1):
            yield TableBlock(f"{prefix}-measures-{number}", caption, table, "Measure")
        yield Notes(section.quality.notes)
        yield from section.quality.figures
    if section.faces and section.faces.captions:
        if not said:
            yield from _quality_state(check)
        by = f" by {measure}" if measure else ""
        doubt = " (not shown to help)" if check and not check.helps else ""
        yield from _extreme_faces(section.faces, f"{by}{doubt}")
        yield Credit(section.faces.credit)
    if section.reconstructions and section.reconstructions.captions:
        yield ReconstructionsBlock(section.reconstructions)


def _verification(section: EvaluationSection, table: Table, prefix: str) -> Iterator[Block]:
    yield Paragraph(section.headline)
    yield TableBlock(f"{prefix}-verification", f"Verification on {section.dataset}", table)
    yield Notes(section.notes)
    yield from differences_blocks(section.tested, f"{prefix}-differences", section.dataset)
    yield from section.figures


def _quality_state(check: QualityCheck | None) -> Iterator[Block]:
    if check:
        asked = f"Whether the model's quality ({check.measure}) can be trusted was checked on {check.images} faces of"
        yield Paragraph(f"{asked} {check.faces}:", f"{check.words}.")
        yield Notes(check.reasons)


def _checked(checked: CheckedSection) -> Iterator[Block]:
    yield Heading("Can its quality be trusted?")
    yield Paragraph("", checked.verdict)
    yield Notes(checked.reasons)
    if checked.faces and checked.faces.captions:
        yield from _extreme_faces(checked.faces, " of all faces, clean and degraded")
    if checked.not_faces and checked.not_faces.captions:
        yield FacesBlock("Pictures without a face", checked.not_faces)
        yield Credit(checked.not_faces.credit)


def _extreme_faces(gallery: FaceGallery, of: str) -> Iterator[Block]:
    """The lowest and the highest qualities of a gallery, each with a heading; `of` says which."""
    lowest, highest = gallery.extremes(FACES_A_ROW)
    for heading, chosen in ((f"Lowest quality{of}", lowest), (f"Highest quality{of}", highest)):
        if len(chosen):
            yield FacesBlock(heading, gallery, chosen.tolist())


def _decisions(gallery: DecisionGallery, name: str) -> Iterator[Block]:
    yield Heading("Decisions")
    doubt = f" {as_sentence(gallery.doubt)}" if gallery.doubt else ""
    yield Paragraph(
        f"Two pictures are taken for the same person from a score of {gallery.threshold:.3f} on, if the quality of "
        f"both is at least {gallery.quality_floor:.3g}. With this threshold, pictures of two people are taken for one "
        f"at a rate of {percent(gallery.fmr)} (FMR), as measured on {gallery.measured_on}.{doubt}"
    )
    yield DecisionsBlock(gallery)
    rows = []
    for row in gallery.counts:
        counts = ((row.same, not row.genuine), (row.different, row.genuine), (row.too_poor, False))
        cells = [Cell(f"{n:,}", "wrong" if wrong and n else "", number=n) for n, wrong in counts]
        rows.append((row.pairs, cells))
    headings = ["same", "different", "too poor to decide"]
    yield TableBlock(name, "Decisions on all pairs", Table(headings, rows), "Pairs of")
    yield Credit(gallery.credit)
