"""The page and its figures can be read on light and on dark."""

import re
from itertools import pairwise

import numpy as np
import pytest

from facemargin.report import load_run
from facemargin.report.document import report_document
from facemargin.report.figure_data import drawn_curves
from facemargin.report.page import report_html
from facemargin.report.page_colors import page_svg
from facemargin.report.page_numbers import thinned
from facemargin.report.style import COLORS, line_styles
from facemargin.report.training_figures import step_figure
from tests.report.report_runs import FEW_RESAMPLES, write_run


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("colors") / "demo")
    return report_html(report_document(load_run(folder), FEW_RESAMPLES))


def contrast(first: str, second: str) -> float:
    """WCAG 2.2's contrast ratio of two colours #rrggbb."""
    luminances = []
    for color in (first, second):
        channel_3 = np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)]) / 255
        linear_3 = np.where(channel_3 <= 0.04045, channel_3 / 12.92, ((channel_3 + 0.055) / 1.055) ** 2.4)
        luminances.append(linear_3 @ [0.2126, 0.7152, 0.0722])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def palettes(html: str) -> list[dict[str, str]]:
    """The variables on a light and on a dark page."""
    light, dark = re.search(
        r":root \{(.*?)\}.*?prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", html, re.DOTALL
    ).groups()
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", text)) for text in (light, dark)]


def test_contrast_is_that_of_the_standard():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_texts_have_contrast_on_light_and_dark(html):
    light, dark = palettes(html)
    assert light.keys() == dark.keys() >= {"ink", "muted", "accent", "paper", "tint", "figure-1"}
    for palette in (light, dark):
        for text in ("ink", "muted", "accent"):
            for below in ("paper", "tint"):
                assert contrast(palette[text], palette[below]) >= 4.5, (text, below)
    for place in range(4, 10):  # the curves, on the dark page
        assert contrast(dark[f"figure-{place}"], dark["paper"]) >= 4.5


def test_no_figure_has_a_color_that_stays_when_the_page_gets_dark(html):
    figures = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(figures) == 15
    used = set(re.findall(r"var\(--([\w-]+)\)", "".join(figures)))
    assert not re.findall(r"(?:fill|stroke): #", "".join(figures))
    assert used <= palettes(html)[0].keys() and {"ink", "paper", "figure-4"} <= used
    assert not re.findall(r"#[0-9a-f]{6}", re.sub(r"<title>.*?</title>|<desc>.*?</desc>", "", "".join(figures)))


def test_every_color_of_a_series_follows_the_page():
    lines = {str(place): (np.arange(3.0), np.arange(3.0) + place) for place in range(len(COLORS) + 1)}
    assert len(line_styles(lines)) == len(COLORS) + 1
    svg = page_svg(step_figure(lines, "y"), "many", "many")
    assert not re.findall(r"(?:fill|stroke): #", svg)


def test_the_numbers_behind_a_figure_are_a_table_for_those_who_do_not_see_it(html):
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    for figure in figures:
        assert "<details>" in figure and "<title>" in figure and "<desc>" in figure
        assert figure.count('scope="col"') == 3 and figure.count('scope="row"') > 3
    roc = next(figure for figure in figures if "<h3>ROC</h3>" in figure)
    assert ">facemargin</th><td>" in roc and "false accept rate (FAR)" in roc
    assert re.search(r"<p>36 of \d+ points; facemargin report --format csv writes all.</p>", roc)


def test_few_points_are_all_shown():
    figure = step_figure({"loss": (np.array([1.0, 2.0]), np.array([0.5, 0.25]))}, "loss")
    numbers = thinned(drawn_curves(figure))
    assert numbers.headings == ("step", "loss")
    assert numbers.rows == [("loss", "1", "0.5"), ("loss", "2", "0.25")]
    assert numbers.left_out == ""


def test_headings_go_down_one_step_at_a_time(html):
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert '<html lang="en">' in html and ":focus-visible" in html
    assert len(re.findall(r"<th(?: |>)", html)) == len(re.findall(r'<th scope="(?:row|col)"', html))
