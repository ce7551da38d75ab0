"""The HTML file: whole, self-contained, and safe from what names and texts contain."""

import base64
import re
import subprocess
import sys
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from facemargin.errors import OutputError
from facemargin.report import DatasetEvaluation, FaceGallery, ReportContent, write_report, write_run_report
from facemargin.report.page import breakable, png_uri
from tests.report.report_runs import FEW_RESAMPLES, gallery, pair_scores, write_run

VOID = {"meta", "br", "img", "link", "input", "hr", "wbr"}


class Page(HTMLParser):
    """Elements, attributes and texts of a page; `unclosed` what was opened and not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.unclosed = [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag != "wbr":
            self.texts.append(" ")

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.unclosed[-1] == tag, f"</{tag}> closes <{self.unclosed[-1]}>"
        self.unclosed.pop()

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join("".join(self.texts).split())


def page_of(content, tmp_path):
    write_report(content, tmp_path / "report.html", FEW_RESAMPLES)
    return Page((tmp_path / "report.html").read_text())


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    return write_run_report(write_run(tmp_path_factory.mktemp("runs") / "demo"), FEW_RESAMPLES).read_text()


def test_the_page_is_well_formed_and_its_ids_are_unique(html):
    page = Page(html)
    assert page.unclosed == []
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    targets = [value[1:] for _, name, value in page.attributes if name in ("href", "xlink:href")]
    targets += re.findall(r"url\(#([^)]*)\)", html)
    assert targets
    assert set(targets) <= set(ids)


def test_every_figure_has_a_drawing_a_label_and_a_caption(html):
    page = Page(html)
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    # ROC, DET, scores, discard for each of two data sets; loss, rate and four more; one validation set
    assert len(figures) == page.tags.count("figcaption") == 2 * 4 + 6 + 1
    for figure in figures:
        assert figure.count("<svg") == 1
        assert figure.count("<path") > 5
        assert re.search(r'role="img"[^>]* aria-label="[^"]+"', figure)
        assert len(re.search(r"<figcaption>(.*)</figcaption>", figure, flags=re.DOTALL)[1]) > 40


def test_nothing_in_the_page_comes_from_elsewhere(html):
    page = Page(html)
    policy = [value for _, name, value in page.attributes if name == "content" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href", "srcset", "action", "poster", "data"):
            assert value.startswith(("data:image/png;base64,", "#")), (tag, name, value[:80])
        assert not name.startswith("on")
        assert name.startswith("xmlns") or "//" not in value or value.startswith("data:"), (tag, name, value[:80])
    assert "@import" not in html
    assert set(re.findall(r"url\((.)", html)) == {"#"}


def test_the_text_has_all_parts(html):
    text = Page(html).text
    for part in (
        "Evaluation on people-degraded", "facemargin", "raw pixels", "Lowest quality", "Highest quality",
        "Faces: a made-up collection", "Training loss", "epochs: 8", "61.5", "bootstrap intervals over identities",
    ):  # fmt: skip
        assert part in text, part


def test_the_faces_shown_are_the_pixels_of_the_gallery(html):
    faces = gallery()
    lowest, highest = faces.extremes(8)
    uris = re.findall(r'<img src="data:image/png;base64,([^"]*)"', html)
    assert len(uris) == 16
    for i, uri in zip([*lowest, *highest], uris, strict=True):
        image_BGR = cv2.imdecode(np.frombuffer(base64.b64decode(uri), np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(image_BGR[..., ::-1], faces.images_NHWC[i])


def test_grey_faces_stay_grey():
    gray_HW = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    uri = png_uri(np.repeat(gray_HW[..., None], 3, axis=2))
    decoded = cv2.imdecode(np.frombuffer(base64.b64decode(uri.split(",")[1]), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded, gray_HW)


def test_hostile_names_stay_text(tmp_path):
    hostile = "<script>alert('x')</script><img src=http://x.test/ onerror=alert(1)>\"'&amp;"
    faces = FaceGallery(np.zeros((2, 4, 4, 3), np.uint8), np.array([1.0, 2.0]), [hostile, hostile], hostile)
    content = ReportContent(
        title=hostile,
        recipe=f"name: {hostile}</pre>",
        environment={hostile: hostile, "date": hostile},
        evaluations=[DatasetEvaluation(hostile, [pair_scores(hostile, hostile, quality=True)], faces)],
    )
    page = page_of(content, tmp_path)
    assert page.unclosed == []
    assert "script" not in page.tags
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert sum(tag == "img" for tag in page.tags) == 2
    assert page.text.count(hostile) >= 8


def test_names_may_be_wrapped_where_words_end():
    assert breakable("a_b/c <x>") == "a_<wbr>b/<wbr>c &lt;x&gt;"


def test_a_run_without_evaluation_and_an_evaluation_without_run_have_their_pages(tmp_path):
    metrics = {"step": np.array([1.0, 2.0]), "loss": np.array([3.0, 2.0])}
    page = page_of(ReportContent("trained", metrics=metrics), tmp_path)
    assert page.tags.count("figure") == 1
    assert "Evaluation" not in page.text
    page = page_of(ReportContent("evaluated", evaluations=[DatasetEvaluation("few", [pair_scores()])]), tmp_path)
    assert page.tags.count("figure") == 3
    assert not {"Training", "Recipe", "Environment"} & set(page.text.split())
    page = page_of(ReportContent("faces", evaluations=[DatasetEvaluation("few", [], gallery(1))]), tmp_path)
    assert "Lowest quality" in page.text
    assert "Highest quality" not in page.text
    nobody = FaceGallery(np.zeros((0, 2, 2, 3), np.uint8), np.zeros(0), [], "credit of nobody")
    page = page_of(ReportContent("none", evaluations=[DatasetEvaluation("few", [pair_scores()], nobody)]), tmp_path)
    assert "nobody" not in page.text


def test_a_report_replaces_the_last_one_whole_or_not_at_all(tmp_path):
    (tmp_path / "recipe.yaml").write_text("epochs: 8\n")
    (tmp_path / "report.html").write_text("the last one")
    path = write_run_report(tmp_path)
    assert path == tmp_path / "report.html"
    first = path.read_bytes()
    assert b"epochs: 8" in first
    assert write_run_report(tmp_path).read_bytes() == first
    assert {entry.name for entry in tmp_path.iterdir()} == {"report.html", "recipe.yaml"}
    with pytest.raises(OutputError, match=r"recipe\.yaml"):
        write_report(ReportContent("x", recipe="y"), tmp_path / "recipe.yaml" / "report.html")


def test_the_same_run_gives_the_same_report(html, tmp_path):
    assert write_run_report(write_run(tmp_path / "demo"), FEW_RESAMPLES).read_text() == html


def test_importing_facemargin_does_not_import_matplotlib():
    check = "import sys, facemargin; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
