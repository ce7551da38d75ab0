"""The page of a certificate."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from facemargin.decision import Certificate
from facemargin.report.certificate_figure import threshold_figure
from facemargin.report.certificate_page import certificate_document, write_certificate_page
from tests.fuzz.readers_of_models import write_certificate, write_gallery_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Two bands, FMR and FNMR, of which the lower cannot be certified."""
    folder = tmp_path_factory.mktemp("certificate")
    write_certificate(folder)
    return Certificate.load(folder / "c.json")


def page_text(certificate, path):
    write_certificate_page(certificate, "my model", path)
    page = path.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page.partition("</style>")[2]))


def test_it_says_what_is_promised_for_whom_and_what_would_break_it(certificate, tmp_path):
    best, poor = certificate.thresholds.bands
    assert best.fmr.threshold is not None and poor.fmr.threshold is None
    text = page_text(certificate, tmp_path / "c.html").replace("\N{NO-BREAK SPACE}", " ")
    for part in (
        "Of pairs of different people, at most 1 of 4 are taken for the same person. Of pairs of the same person, at "
        "most 40 % are taken for different people. This is promised with 95 % confidence",
        "breaks at most 1 of 20 of them",
        "below 3 get the answer &#34;too poor&#34;",
        "120 images of 60 people of faces",
        "facemargin verify my model A B --certificate c.json --detect",
        f"from {best.fmr.threshold:.4f} on",
        "FMR ≤ 25 %",
        "FNMR ≤ 40 %",
        "The estimated range is where the true rate probably is; it is no promise",
        "Refused: band 2 of 2: FMR 0.25 needs",
        "Find both with facemargin audit",
        "found in photographs by toy (min_score 0.5, longest_side 1280)",
        "digest 0a1b",
    ):
        assert part in text, part


def test_a_refusal_is_an_answer(certificate, tmp_path):
    refused = certificate.thresholds.bands[1].fmr
    content = json.loads(certificate.to_json())
    for band in content["bands"]:
        band["fmr"], band["fnmr"] = content["bands"][1]["fmr"], None
    (tmp_path / "c.json").write_text(json.dumps(content))
    text = page_text(Certificate.load(tmp_path / "c.json"), tmp_path / "c.html")
    assert "Nothing can be promised at the rate that was asked for." in text and refused.refusal in text
    assert (
        "every answer is &#34;too poor&#34;" in text
        and "--certificate" not in text
        and "The answer by score" not in text
    )


def test_the_picture_shows_the_thresholds_of_every_band(certificate):
    best, poor = certificate.thresholds.bands
    high = best.fmr.threshold
    low = high - 0.25
    best = replace(best, fnmr=replace(best.fnmr, threshold=low))
    axes = threshold_figure(replace(certificate.thresholds, bands=(best, poor))).axes[0]
    left, right = axes.get_xlim()
    bars = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in axes.patches]
    assert np.array(bars) == pytest.approx(np.array([(left, low), (low, high), (high, right), (left, right)]))
    assert [round(bar.get_y() + bar.get_height() / 2) for bar in axes.patches] == [0, 0, 0, 1]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["from 3 on", "below 3"]
    assert {text.get_text().strip() for text in axes.texts} == {f"{low:.3f}", f"{high:.3f}"}


def test_what_a_lower_rate_needs_is_exact(certificate):
    sections = certificate_document(certificate, "m", "c.json").sections
    (table,) = next(section for section in sections if section.anchor == "needs").tables()
    needs = certificate.thresholds.bands[0].fmr.needs
    found = {name: [cell.number for cell in cells] for name, cells in table.table.rows}
    assert found == {
        f"{100 * rate:g}\N{NO-BREAK SPACE}%": [needs(rate), needs(rate, 0.3 * rate)] for rate in (0.25, 0.025, 0.0025)
    }


def test_a_list_says_what_its_people_could_promise(certificate, tmp_path):
    listed = replace(certificate.thresholds, design="list")
    text = page_text(replace(certificate, thresholds=listed), tmp_path / "c.html").replace("\N{NO-BREAK SPACE}", " ")
    lowest = replace(certificate, thresholds=listed).lowest_if_all_compared
    assert f"(--images instead of --pairs), it would be {100 * lowest:.3g} %" in text and "the pairs of a list" in text


def test_a_gallery_is_named_with_what_is_not_promised(tmp_path):
    write_gallery_certificate(tmp_path)
    certificate = Certificate.load(tmp_path / "c.json")
    assert certificate.thresholds.design == "gallery" and certificate.promises
    text = page_text(certificate, tmp_path / "c.html").replace("\N{NO-BREAK SPACE}", " ")
    for part in (
        "Of comparisons of people who are not enrolled with people of the gallery, at most 1 of 4 are taken for the",
        "Of comparisons of enrolled people with themselves in the gallery, at most 40 % are taken for different people",
        "They are compared with the gallery staff, 60 images of 60 people, of whom 10 are among the probes. The rates",
        "whoever searches the whole gallery makes as many as there are people in it",
        "590 pairs of enrolled people with others of the gallery are behind no promise",
        "Another gallery",
        "rests on 50 people who are not enrolled",
        "digest 2c3d",
    ):
        assert part in text, part
    assert "verify my model" not in text and "each other" not in text
