"""Reconstructions on the page: their pictures, headings, numbers and texts, and their layout in a real browser."""

import base64
import re

import cv2
import numpy as np
import pytest

from facemargin.report import DatasetEvaluation, ReconstructionGallery, ReportContent, write_report
from tests.report.reconstruction_galleries import HEADINGS, made_up_gallery, made_up_pictures
from tests.report.report_browser import CHROMIUM, measure, network_requests, screenshot
from tests.report.report_runs import FEW_RESAMPLES, pair_scores


def write_page(tmp_path, reconstructions, systems=()):
    content = ReportContent("x", evaluations=[DatasetEvaluation("few", list(systems), None, reconstructions)])
    write_report(content, tmp_path / "report.html", FEW_RESAMPLES)
    return tmp_path / "report.html"


def test_the_page_shows_the_pixels_of_every_picture_under_its_heading(tmp_path):
    shown = made_up_gallery(psnr_B=np.array([20.04, np.nan, 18.5]), angles_B3=np.array([[-12.3, 4, 0]] * 3))
    html = write_page(tmp_path, shown, [pair_scores("facemargin", "few", quality=True)]).read_text()
    table = re.search(r'<table class="reconstructions">.*?</table>', html, flags=re.DOTALL)[0]
    assert re.findall(r'<th scope="col">(.*?)</th>', table) == ["Face", *HEADINGS]
    rows = re.findall(r"<tr>.*?</tr>", table, flags=re.DOTALL)[1:]
    assert len(rows) == 3
    for face, row in enumerate(rows):
        found = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="([^"]*)"', row)
        assert [alt for _, alt in found] == [f"people/{face}.jpg: {heading.lower()}" for heading in HEADINGS]
        for picture_HWC, (encoded, _) in zip(shown.pictures.pictures_BPHWC[face], found, strict=True):
            image_BGR = cv2.imdecode(np.frombuffer(base64.b64decode(encoded), np.uint8), cv2.IMREAD_COLOR)
            np.testing.assert_array_equal(image_BGR[..., ::-1], picture_HWC)
        numbers = [
            *("yaw −12°", "pitch +4°", "roll +0°"),
            ("20.0\N{NO-BREAK SPACE}dB", "–", "18.5\N{NO-BREAK SPACE}dB")[face],
        ]
        assert re.findall(r"<small>(.*?)</small>", row) == numbers
    assert '<p class="credit">Faces: a made-up collection</p>' in html


def test_hostile_captions_and_headings_stay_text(tmp_path):
    hostile = "<script>alert('x')</script>\" onerror=alert(1) x=\""
    pictures = made_up_pictures(2, headings=[hostile] * len(HEADINGS))
    html = write_page(tmp_path, ReconstructionGallery(pictures, [hostile] * 2, hostile)).read_text()
    assert "<script" not in html and '" onerror' not in html
    assert html.count("&lt;script&gt;") >= 2 * 12 + 12 + 2 + 1


def test_without_reconstructions_the_page_does_not_speak_of_them(tmp_path):
    nobody = made_up_gallery(0)
    for shown in (None, nobody):
        html = write_page(tmp_path, shown, [pair_scores("facemargin", "few")]).read_text()
        assert "Face reconstruction" not in html and "a made-up collection" not in html


COLORS = np.array([[220, 20, 60], [0, 140, 0]], dtype=np.uint8)
"""Of the pictures of even and of odd columns, on no other part of the page."""


@pytest.fixture(scope="module")
def colored_report(tmp_path_factory):
    pictures_BPHWC = np.broadcast_to(COLORS[np.arange(12) % 2][None, :, None, None], (5, 12, 64, 64, 3)).copy()
    names = ["people/1.jpg", "a_person_with_a_long_name/a_person_with_a_long_name_0001.jpg", "x" * 60, "y", "z"]
    shown = ReconstructionGallery(made_up_pictures(5, pictures_BPHWC=pictures_BPHWC), names, "Faces: nobody's")
    return write_page(tmp_path_factory.mktemp("colored"), shown)


def patches(image_HWC, color):
    """(width, height) of every connected patch of an RGB colour in a BGR screenshot, in pixels."""
    near_HW = np.abs(image_HWC.astype(int) - color[::-1]).sum(axis=2) < 12
    _, _, statistics, _ = cv2.connectedComponentsWithStats(near_HW.astype(np.uint8))
    return [(int(row[cv2.CC_STAT_WIDTH]), int(row[cv2.CC_STAT_HEIGHT])) for row in statistics[1:]]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the report in")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_pictures_are_large_enough_and_nothing_covers_them(colored_report, width, tmp_path):
    page = measure(colored_report, width, tmp_path)
    assert page["width"] == page["contentWidth"] == width  # the table scrolls, the page does not
    assert page["images"] == [64] * 60
    image_HWC = screenshot(colored_report, width, page["height"], tmp_path)
    sizes = patches(image_HWC, COLORS[0]) + patches(image_HWC, COLORS[1])
    whole = [size for size in sizes if min(size) >= 64]
    assert len(whole) == (60 if width == 1280 else 15)  # on a phone the first three columns
    assert all(abs(across - down) <= 1 for across, down in whole)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the report in")
def test_the_page_fetches_nothing(colored_report, tmp_path):
    assert network_requests(colored_report.as_uri(), tmp_path) == []
