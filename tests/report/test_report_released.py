"""What a report says first: its summary, a released recogniser and its decisions, and whether a quality is trusted."""

import re
from dataclasses import replace

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.report import load_run, write_run_report
from facemargin.report.decision_gallery import DecisionCounts, DecisionGallery
from tests.report.report_runs import (
    FEW_RESAMPLES,
    decisions,
    write_checked,
    write_released,
    write_run,
)
from tests.report.test_report_page import Page


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run whose own quality fails, beside a released recogniser whose quality helps."""
    folder = write_released(write_run(tmp_path_factory.mktemp("runs") / "demo"))
    write_checked(folder, "people", helps=False)
    (folder / "summary.txt").write_text("What was done.\nWhat came out.\nWhat to do <next>.\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def html(run):
    return write_run_report(run, FEW_RESAMPLES).read_text()


def test_the_page_is_well_formed_and_its_ids_are_unique(html):
    page = Page(html)
    assert page.unclosed == []
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, name, value in page.attributes if name == "href" and value[0] == "#"} <= set(ids)


def test_the_sentences_open_the_report_and_the_released_recogniser_follows(html):
    text = Page(html).text
    places = [
        text.index(part)
        for part in (
            "What was done. What came out. What to do <next>.",
            "A released recogniser: sface A recogniser of others.",
            "Evaluation on people",
            "Training Training loss",
        )
    ]
    assert places == sorted(places)


def test_decisions_are_shown_with_threshold_and_on_whom_it_was_measured(html):
    text = Page(html).text
    for part in (
        "from a score of 0.365 on", "at least 9.5", "at a rate of 0.1% (FMR)", "1,994,027 impostor pairs",
        "same two pictures of one person score 0.61, qualities 12.0 and 11.5",
        "different two people score 0.04, qualities 12.0 and 11.9",
        "too poor to decide one person, the second picture ruined score 0.31, qualities 12.0 and 4.40",
        "impostor pairs. They were found in another way.", "one person 80 7 wrong 3", "two people 0 500 40",
    ):  # fmt: skip
        assert part in text, part


def test_every_quality_says_whether_it_can_be_trusted(html):
    text = Page(html).text
    assert "The quality of sface helps except for noise: sort out pictures by it. It falls with blur." in text
    assert "The quality of facemargin is not shown to help: do not sort out pictures by it. Noise ranks above" in text
    # on another data set than the one it was checked on, too
    degraded = text[text.index("Evaluation on people-degraded") :]
    assert "Lowest quality (not shown to help)" in degraded and "Highest quality (not shown to help)" in degraded
    assert "can be trusted was checked on 36 faces of people: not shown to help" in degraded
    assert "not shown to help" not in text[text.index("A released") : text.index("Evaluation on people")]


def test_a_quality_that_helps_is_shown_without_a_doubt(tmp_path):
    folder = write_run(tmp_path / "run")
    write_checked(folder, "people", helps=True)
    assert "not shown to help" not in Page(write_run_report(folder, FEW_RESAMPLES).read_text()).text


def test_only_errors_are_drawn_against_discarding(html):
    ids = re.findall(r'<figure id="(released-[^"]*)"', html)
    assert ids == ["released-2-discard"]  # the first set has no error that quality could avoid


def test_no_set_of_the_released_recogniser_is_the_best(html):
    table = html[html.index("Verification by sface") :]
    assert "<strong>" not in table[: table.index("</table>")]


def test_the_report_is_written_again_from_the_folder_alone(run, html):
    assert write_run_report(run, FEW_RESAMPLES).read_text() == html


def test_decisions_are_read_as_they_were_written(tmp_path):
    one = decisions()
    one.save(tmp_path / "decisions.npz")
    found = DecisionGallery.load(tmp_path / "decisions.npz")
    np.testing.assert_array_equal(found.images_E2HWC, one.images_E2HWC)
    images = np.zeros((3, 2, 1, 1, 3), np.uint8)
    assert replace(found, images_E2HWC=images).__dict__ | {"images_E2HWC": 0} == one.__dict__ | {"images_E2HWC": 0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images_E2HWC": np.zeros((3, 2, 4, 4), np.uint8)}, "expected uint8 (E, 2, H, W, 3)"),
        ({"images_E2HWC": np.zeros((2, 2, 4, 4, 3), np.uint8)}, "3 decisions have pictures of shape (2,"),
        ({"threshold": float("nan")}, "expected finite ones"),
        ({"examples": [replace(one, decision="perhaps") for one in decisions().examples]}, "'perhaps', expected one"),
        ({"counts": [DecisionCounts("x", True, 1, -2, 3)]}, "expected whole numbers"),
        ({"credit": 3}, "not a text"),
    ],
)
def test_decisions_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(DataError, match=re.escape(message)):
        replace(decisions(), **change)


def test_damaged_files_are_named(run, tmp_path):
    folder = write_released(tmp_path / "run")
    place = folder / "released" / "evaluation" / "aligned"
    (place / "decisions.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"decisions\.npz is not a gallery of decisions"):
        load_run(folder / "released")
    decisions().save(place / "decisions.npz")
    (place / "not_faces.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"not_faces\.npz is not a gallery of faces"):
        load_run(folder / "released")


def test_a_folder_that_is_its_own_released_one_ends(run, tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "released").symlink_to(folder)
    assert load_run(folder).released.released is None
