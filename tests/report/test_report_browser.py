"""The report in a real browser: every figure drew, nothing overlaps or sticks out, nothing came from a network."""

import numpy as np
import pytest

from facemargin.report import DatasetEvaluation, ReportContent, write_report, write_run_report
from tests.report.report_browser import CHROMIUM, measure, network_requests, screenshot
from tests.report.report_runs import (
    FEW_RESAMPLES,
    gallery,
    metrics_columns,
    pair_scores,
    write_checked,
    write_released,
    write_run,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to open the report in"),
]

DESKTOP, PHONE = 1280, 390


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = write_released(write_run(tmp_path_factory.mktemp("runs") / "demo"))
    write_checked(folder, "people", helps=False)
    (folder / "summary.txt").write_text("What was done.\nWhat came out.\n" + "facemargin verify a b " * 20)
    return write_run_report(folder, FEW_RESAMPLES)


@pytest.fixture(scope="module")
def awkward_report(tmp_path_factory):
    """Many systems with long names, sets of a few pairs, a perfect system, a system without a single match."""
    names = ["facemargin", "a_system_with_a_name_that_has_no_space_to_break_it_anywhere", "Pixel $x$ & <b>", "_under"]
    few = [pair_scores(name, "few", people=2, images=2, quality=True, seed=i) for i, name in enumerate(names)]
    extreme = [
        pair_scores("facemargin", "extreme", separation=500, quality=True),
        pair_scores("inverted", "extreme", separation=-500, quality=True, identities=False),
    ]
    content = ReportContent(
        title="a_run_with_a_name_that_has_no_space_to_break_it_anywhere_in_its_title",
        recipe="x" * 300,
        environment={"command": "facemargin " + "y" * 300},
        metrics={name: np.asarray(column, dtype=float)[:1] for name, column in metrics_columns().items()},
        evaluations=[DatasetEvaluation("few", few, gallery(3)), DatasetEvaluation("extreme", extreme)],
    )
    path = tmp_path_factory.mktemp("awkward") / "report.html"
    write_report(content, path, FEW_RESAMPLES)
    return path


def overlap(first, second) -> bool:
    across = min(first["right"], second["right"]) - max(first["left"], second["left"])
    down = min(first["bottom"], second["bottom"]) - max(first["top"], second["top"])
    return across > 1 and down > 1


def check_layout(page, width):
    assert page["width"] == page["contentWidth"] == width  # nothing to scroll sideways
    assert all(size > 0 for size in page["images"])
    for figure in page["figures"]:
        name, svg = figure["id"], figure["svg"]
        assert svg["right"] - svg["left"] > 300, name
        assert 0 <= svg["left"] < svg["right"] <= width, name
        assert figure["paths"] > 10, name
        assert figure["caption"]["top"] >= svg["bottom"], name
        texts = figure["texts"]
        assert len(texts) > 5, name
        for i, text in enumerate(texts):
            assert svg["left"] - 1 <= text["left"] < text["right"] <= svg["right"] + 1, name
            assert svg["top"] - 1 <= text["top"] < text["bottom"] <= svg["bottom"] + 1, name
            assert not any(overlap(text, other) for other in texts[:i]), name


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_figure_is_laid_out(report, width, tmp_path):
    page = measure(report, width, tmp_path)
    assert len(page["figures"]) == 15 + 1  # error versus discard of the released recogniser
    assert len(page["images"]) == 16 + 2 * (16 + 4) + 3 * 2  # two checked qualities, three decisions
    check_layout(page, width)


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_awkward_content_is_laid_out_too(awkward_report, width, tmp_path):
    page = measure(awkward_report, width, tmp_path)
    assert len(page["figures"]) == 2 * 4 + 2
    check_layout(page, width)


def test_every_figure_drew_its_curves(report, tmp_path):
    page = measure(report, DESKTOP, tmp_path)
    image_HWC = screenshot(report, DESKTOP, page["height"], tmp_path).astype(int)
    model_blue = np.array([0xB2, 0x72, 0x00])  # BGR: the colour of the first system and of a single line
    histogram_blue = 0.55 * model_blue + 0.45 * 255
    for figure in page["figures"]:
        top, bottom, left, right = (round(figure["svg"][side]) for side in ("top", "bottom", "left", "right"))
        color = histogram_blue if figure["id"].endswith("scores") else model_blue
        distance = np.abs(image_HWC[top:bottom, left:right] - color).sum(axis=2)
        assert (distance < 30).sum() > 100, figure["id"]


def test_the_report_fetches_nothing(report, tmp_path):
    assert network_requests(report.as_uri(), tmp_path) == []


def test_what_a_page_fetches_would_be_noticed(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><img src="http://pictures.test/x.png"><link rel=stylesheet href="https://f.test/a">'
    )
    assert set(network_requests(page.as_uri(), tmp_path)) == {"http://pictures.test/x.png", "https://f.test/a"}
