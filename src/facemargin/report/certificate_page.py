"""Writes the page of a certificate: what is promised, for whom, on what it rests, and what would break it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from facemargin.counting import counted
from facemargin.decision.certificate import Certificate, CertifiedGallery
from facemargin.decision.guarantee import (
    ONE_COMPARISON,
    at_most,
    band_quality,
    confidence_text,
    is_promised,
    left_out,
    pairs_of,
    promises,
)
from facemargin.evaluation.metrics.certified_bound import Design
from facemargin.evaluation.metrics.certified_thresholds import CertifiedBand, CertifiedRate, CertifiedThresholds
from facemargin.files.atomic import write_text_atomically
from facemargin.report.blocks import (
    Block,
    Cell,
    Facts,
    FigureBlock,
    Heading,
    Notes,
    Paragraph,
    Section,
    Table,
    TableBlock,
)
from facemargin.report.certificate_figure import threshold_figure
from facemargin.report.document import Document
from facemargin.report.page import report_html

_COMPARED = {
    "all-pairs": "all people with each other",
    "gallery": "people with a fixed gallery",
    "list": "the pairs of a list",
}

_BREAKS = [
    (
        "Other people, other pictures",
        "The people must be drawn at random from those that the system will meet, and photographed as they will be. "
        "Pairs drawn at random are easier to tell apart than people of the same sex, age and origin: a promise for "
        "the first is none for the second.",
    ),
    (
        "Families, one camera",
        "People must come independently: twins who are always there together are one draw, not two.",
    ),
    (
        "Two people under one name",
        "They hide false matches. One person under two names looks like a false match: the promise still holds, but "
        "costs a higher threshold. Find both with facemargin audit.",
    ),
    (
        "People of the training set",
        "The model tells those whom it was trained on apart better than anybody else. facemargin certify warns of them "
        "where it can tell.",
    ),
    (
        "Another model or alignment",
        "facemargin verify refuses this certificate for another model, detector or measure of quality.",
    ),
]

_ANOTHER_GALLERY = (
    "Another gallery",
    "The promise is about this gallery: whoever enrolls, removes or photographs somebody anew has another one, and has "
    "to certify again.",
)


def write_certificate_page(certificate: Certificate, model: str, path: Path) -> None:
    """Write the page to `path`, completely or not at all. `model` is the model's name on it."""
    write_text_atomically(path, report_html(certificate_document(certificate, model, path.with_suffix(".json").name)))


def certificate_document(certificate: Certificate, model: str, file: str) -> Document:
    """The certificate in the `file` of this name, as a report of sections."""
    found = certificate.thresholds
    sections = [
        Section("answers", "The answers", "The answers", list(_answers(found))),
        Section("rates", "Certified and estimated", "Certified and estimated", list(_rates(certificate))),
        Section("breaks", "What would break the promise", "What would break it", list(_breaks(found))),
        Section("needs", "What a lower rate would need", "Lower rates", list(_needs(certificate))),
        Section("bound", "What it is bound to", "What it is bound to", [Facts(_bound_to(certificate, model))]),
    ]
    return Document(f"What {model} promises", certificate.date, _summary(certificate, model, file), sections)


def _summary(certificate: Certificate, model: str, file: str) -> list[str]:
    found, best = certificate.thresholds, certificate.thresholds.bands[0]
    given = [rate for rate in (best.fmr, best.fnmr) if rate is not None and is_promised(found, rate)]
    sentences = [
        " ".join(_promise(rate, found.design) for rate in given)
        + f" This is promised with {confidence_text(found.confidence)} confidence: whoever makes such certificates "
        f"again and again, each time of other people, breaks at most {at_most(1 - found.confidence)} of them."
        if given
        else "Nothing can be promised at the rate that was asked for."
    ]
    sentences += [f"Refused: {rate.refusal}." for rate in (best.fmr, best.fnmr) if rate is not None and rate.refusal]
    if given and found.quality_floor is not None:
        sentences.append(
            f'Pictures of a quality below {found.quality_floor:.4g} get the answer "too poor": too few people have '
            "such pictures here for a promise."
        )
    sentences.append(
        f"It holds for people and pictures like those that it rests on, and for no others: {_faces(certificate)}."
    )
    if certificate.gallery is not None:
        sentences.append(f"They are compared with {certificate.gallery}. {ONE_COMPARISON}.")
    elif given:
        detect = " --detect" if certificate.faces.detector else ""
        sentences.append(f"Decide by it with: facemargin verify {model} A B --certificate {file}{detect}")
    return sentences


def _promise(rate: CertifiedRate, design: Design) -> str:
    taken = "the same person" if rate.name == "FMR" else "different people"
    return f"Of {_pairs(design, rate.name)}, at most {at_most(rate.target)} are taken for {taken}."


def _pairs(design: Design, rate: Literal["FMR", "FNMR"]) -> str:
    if design == "gallery":
        return pairs_of(design, rate)
    return f"pairs of {'different people' if rate == 'FMR' else 'the same person'}"


def _answers(found: CertifiedThresholds) -> Iterator[Block]:
    several = len(found.bands) > 1
    if not promises(found):
        yield Paragraph(f'Nothing can be promised, so every answer is "{"too poor" if several else "cannot tell"}".')
        return
    yield Paragraph(
        f"Every pair of pictures gets a score, and its answer depends on it{_and_quality(several)}. Between the two "
        'thresholds neither "same" nor "different" can be promised, and the answer is "cannot tell".'
    )
    caption = (
        "The best pictures are on top. Each band of quality has thresholds of its own. Going down, the first band "
        "whose "
        'FMR cannot be certified ends the promises: it and all below it are "too poor".'
        if several
        else "All pictures have the same thresholds."
    )
    yield FigureBlock("thresholds", "The answer by score", threshold_figure(found), caption)
    rows = [
        (
            band_quality(found.bands, number),
            [_share(band.undecided_genuine), _share(band.undecided_impostor)],
        )
        for number, band in enumerate(found.bands)
        if not found.is_too_poor(band)
    ]
    if rows:
        headings = (
            ["enrolled people", "people who are not enrolled"]
            if found.design == "gallery"
            else ["pairs of the same person", "pairs of other people"]
        )
        table = Table(headings, rows)
        yield TableBlock("undecided", 'How often the answer is "cannot tell"', table, "Quality")


def _and_quality(several: bool) -> str:
    return " and on the quality of the poorer picture" if several else ""


def _rates(certificate: Certificate) -> Iterator[Block]:
    found = certificate.thresholds
    yield Paragraph(
        "The certified rate is the promise: it holds whatever the people are like. The estimated range is where the "
        "true rate probably is; it is no promise, and far too short if a few people resemble many others and none of "
        "them is among these. The observed rate is that among these people, everybody counted alike, however many "
        "pictures there are of them."
    )
    headings = ["answer", "score", "certified", "estimated", "observed", "errors", "people", "pairs"]
    rows = [
        (band_quality(found.bands, number), cells)
        for number, band in enumerate(found.bands)
        for cells in _band_cells(found, band)
    ]
    yield TableBlock("rates", "Certified and estimated rates", Table(headings, rows), "Quality")
    notes = [
        f'FMR, false match rate: the share of {_pairs(found.design, "FMR")} whose answer is "same". FNMR, false '
        f'non-match rate: the share of {_pairs(found.design, "FNMR")} whose answer is "different".',
        f"All promises hold together with {confidence_text(found.confidence)} confidence.",
    ]
    if found.bands[0].fnmr is None:
        notes.append('No pair is "different", because no FNMR was asked for.')
    if behind_none := left_out(found):
        notes.append(f"{behind_none}.")
    yield Notes([*notes, *(f"Refused: {refusal}." for refusal in certificate.refusals)])


def _band_cells(found: CertifiedThresholds, band: CertifiedBand) -> Iterator[list[Cell]]:
    if found.is_too_poor(band):
        texts = ["too poor", "any", "FMR refused", "–", "–", "–", f"{band.fmr.people:,}", f"{band.fmr.pairs:,}"]
        yield [Cell(text) for text in texts]
        return
    for rate in (band.fmr, band.fnmr):
        if rate is not None:
            yield _cells(rate)


def _cells(rate: CertifiedRate) -> list[Cell]:
    answer, score = ("same", "from {:.4f} on") if rate.name == "FMR" else ("different", "below {:.4f}")
    people, pairs = Cell(f"{rate.people:,}", number=rate.people), Cell(f"{rate.pairs:,}", number=rate.pairs)
    if rate.threshold is None or rate.observed is None:
        return [
            Cell(answer),
            Cell("none"),
            Cell(f"{rate.name} refused"),
            Cell("–"),
            Cell("–"),
            Cell("–"),
            people,
            pairs,
        ]
    estimated = (
        Cell("–") if rate.estimated is None else Cell(" to ".join(map(_percent, rate.estimated)), span=rate.estimated)
    )
    return [
        Cell(answer),
        Cell(score.format(rate.threshold), number=rate.threshold),
        Cell(f"{rate.name} ≤ {100 * rate.target:.10g}\N{NO-BREAK SPACE}%", best=True, number=rate.target),
        estimated,
        _share(rate.observed),
        Cell(
            f"{counted(rate.errors, 'pair')} of {counted(rate.people_in_error, 'person', 'people')}", number=rate.errors
        ),
        people,
        pairs,
    ]


def _breaks(found: CertifiedThresholds) -> Iterator[Block]:
    of_gallery = [_ANOTHER_GALLERY] if found.design == "gallery" else []
    for heading, text in (*_BREAKS, *of_gallery, _looking(found)):
        yield Heading(heading)
        yield Paragraph(text)


def _looking(found: CertifiedThresholds) -> tuple[str, str]:
    risk = f"{100 * (1 - found.confidence):.10g} %"
    return (
        "Looking twice",
        "Whoever tries ten models or ten settings on the same people and keeps the best has asked ten times: the risk "
        f"of {risk} has to be divided by ten.",
    )


def _needs(certificate: Certificate) -> Iterator[Block]:
    rate = certificate.thresholds.bands[0].fmr
    not_enrolled = " who are not enrolled" if certificate.gallery is not None else ""
    where = " in its best band" if len(certificate.thresholds.bands) > 1 else ""
    yield Paragraph(
        f"This certificate rests on {counted(rate.people, 'person', 'people')}{not_enrolled}{where}. However well the "
        f"model tells them apart, no FMR below {_percent(rate.lowest)} can be certified with them."
    )
    if certificate.lowest_if_all_compared is not None:
        yield Paragraph(
            "A list of pairs promises less than its people can: if they were all compared with each other (--images "
            f"instead of --pairs), it would be {_percent(certificate.lowest_if_all_compared)}."
        )
    rows = [
        (
            f"{100 * target:.6g}\N{NO-BREAK SPACE}%",
            [_people(rate.needs(target)), _people(rate.needs(target, 0.3 * target))],
        )
        for target in (rate.target, rate.target / 10, rate.target / 100)
    ]
    headings = ["with no false match among them", "with 3 of 10 of the allowed false matches"]
    yield TableBlock("people", "How many people an FMR needs", Table(headings, rows), "FMR")


def _bound_to(certificate: Certificate, model: str) -> list[tuple[str, str]]:
    return [
        ("model", f"{model}, recognised by its answers ({counted(len(certificate.fingerprint), 'value')})"),
        ("views of an image", certificate.views),
        ("quality", certificate.quality),
        ("faces", _found_by(certificate)),
        ("data", f"{_faces(certificate)}; digest {certificate.faces.digest}"),
        *_gallery_facts(certificate.gallery),
        ("compared", _COMPARED[certificate.thresholds.design]),
        ("made", f"{certificate.date}, facemargin {certificate.version}"),
    ]


def _gallery_facts(gallery: CertifiedGallery | None) -> list[tuple[str, str]]:
    return [] if gallery is None else [("gallery", f"{gallery}; digest {gallery.digest}")]


def _faces(certificate: Certificate) -> str:
    faces = certificate.faces
    return f"{counted(faces.images, 'image')} of {counted(faces.people, 'person', 'people')} of {faces.name}"


def _found_by(certificate: Certificate) -> str:
    faces = certificate.faces
    if faces.detector is None:
        return "images as they are"
    settings = ", ".join(f"{name} {value}" for name, value in (faces.settings or {}).items())
    return f"found in photographs by {faces.detector}" + (f" ({settings})" if settings else "")


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g}\N{NO-BREAK SPACE}%"


def _share(fraction: float) -> Cell:
    return Cell(_percent(fraction), number=fraction)


def _people(number: int) -> Cell:
    return Cell(f"{number:,}", number=number)
