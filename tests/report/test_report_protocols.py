"""The part of a report about protocols: figures of the run with those of papers beside them."""

import json
import re

import pytest

from facemargin.errors import DataError
from facemargin.evaluation.protocols.figures import tar_name
from facemargin.report import load_run, write_run_report
from facemargin.report.protocol_section import protocol_section
from facemargin.report.published import published
from facemargin.report.style import line_styles

FIGURES = [
    {"name": "TAR at FAR 0.0001", "value": 0.9682, "behind": "9 of 90,000 impostors, 300 genuine"},
    {"name": "TAR at FAR 1e-6", "value": None, "behind": "0 of 90,000 impostors, 300 genuine"},
    {"name": "rank 1", "value": 0.5, "behind": ""},
]


def write_result(folder, protocol="ijbc", system="facemargin", **changes):
    content = {
        "protocol": protocol, "system": system, "rule": "published", "preset": "adaface", "views": "flip",
        "images": 1000, "unreadable": 0, "templates": 50, "failed": 0, "figures": FIGURES, "notes": [],
        "verification": [{"name": "1:1", "impostors": 90_000, "far_T": [1e-7, 1e-5, 1], "tar_T": [0, 0.5, 1]}],
    }  # fmt: skip
    path = folder / "protocols" / protocol / f"{system}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content | changes))
    return path


def rows(table):
    headings = [heading.replace("\N{NON-BREAKING HYPHEN}", "-") for heading in table.headings]
    return {name: dict(zip(headings, (cell.value for cell in cells), strict=True)) for name, cells in table.rows}


def section_of(folder):
    (systems,) = load_run(folder).protocols
    return protocol_section(systems, 1, line_styles([system.system for system in systems]))


def test_a_papers_figures_stand_below_the_runs(tmp_path):
    write_result(tmp_path)
    write_result(tmp_path, system="other", figures=FIGURES[:1])
    (_, verification), (_, identification) = section_of(tmp_path).tables
    found = rows(verification)
    assert list(found)[:3] == ["facemargin", "other", "FunFace, MS1MV2 (published)"]
    assert found["facemargin"] == {"TAR at FAR 0.0001": "96.82%", "TAR at FAR 1e-6": "–"}
    assert found["other"]["TAR at FAR 1e-6"] == "–"
    assert found["FunFace, MS1MV2 (published)"] == {"TAR at FAR 0.0001": "96.82%", "TAR at FAR 1e-6": "89.01%"}
    assert found["AdaFace, MS1MV2 (published)"]["TAR at FAR 1e-6"] == "–"
    assert rows(identification) == {"facemargin": {"rank 1": "50.00%"}}


def test_the_notes_say_what_stands_behind_the_figures(tmp_path):
    write_result(tmp_path, unreadable=3, failed=1, notes=["only 1:1 is scored: there is no list"])
    notes = section_of(tmp_path).notes
    assert "TAR at FAR 0.0001: 9 of 90,000 impostors, 300 genuine." in notes
    assert "Only 1:1 is scored: there is no list." in notes
    assert any(
        "1,000 images, 3 of them unreadable (1 without any readable image match nobody)" in note for note in notes
    )
    assert any("50 templates, pooled as adaface; views: flip; thresholds: published" in note for note in notes)
    assert any("arXiv 2604.26598" in note for note in notes)


def test_a_protocol_of_ones_own_has_no_papers(tmp_path):
    write_result(tmp_path, "pairs", templates=0, preset=None)
    section = section_of(tmp_path)
    assert [list(rows(table)) for _, table in section.tables] == [["facemargin"], ["facemargin"]]
    assert not any("Published" in note for note in section.notes)


def test_the_page_shows_every_protocol(tmp_path):
    write_result(tmp_path)
    write_result(tmp_path, "tinyface", verification=[], templates=0, system="a <b>")
    page = write_run_report(tmp_path).read_text()
    assert re.findall(r"<h2>Protocol (\w+)</h2>", page) == ["ijbc", "tinyface"]
    assert page.count("<figure") == 1 and 'id="protocol-1-roc-0"' in page
    assert "a &lt;b&gt;" in page and "<b>" not in page
    assert '<a href="#protocol-2">tinyface</a>' in page


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"figures": 3}',
        json.dumps({"protocol": "a", "figures": [{"name": "x", "value": "y", "behind": ""}]}),
    ],
)
def test_a_damaged_result_is_named(tmp_path, content):
    write_result(tmp_path).write_text(content)
    with pytest.raises(DataError, match=r"ijbc/facemargin.json is not a protocol's result"):
        load_run(tmp_path)


def test_published_figures_are_percentages_of_known_names():
    for protocol, names in {
        "ijbc": {tar_name(far) for far in (1e-4, 1e-5, 1e-6)},
        "survface": {tar_name(far) for far in (0.3, 0.2, 0.1, 0.01)},
        "tinyface": {"rank 1", "rank 5"},
        "dronesurf": {f"{part} rank {rank}" for part in ("active", "passive") for rank in (1, 5)},
    }.items():
        found = published(protocol)
        assert set().union(*(one.figures for one in found)) == names
        assert all(1 < value < 100 for one in found for value in one.figures.values())
        # the larger rank, and the larger FAR, has the larger figure
        for one in found:
            if protocol != "dronesurf":
                values = list(one.figures.values())
                assert values == sorted(values, reverse=protocol != "tinyface")
    assert published("pairs") == []


@pytest.mark.parametrize(
    "changes",
    [{"far_T": [0.1]}, {"tar_T": [0, 0.5, 2]}, {"far_T": [0, float("nan"), 1]}, {"impostors": 0}, {"impostors": 1e999}],
)
def test_a_curve_that_is_none_is_named(tmp_path, changes):
    curve = {"name": "1:1", "impostors": 90_000, "far_T": [1e-7, 1e-5, 1], "tar_T": [0, 0.5, 1]}
    write_result(tmp_path, verification=[curve | changes])
    with pytest.raises(DataError, match=r"facemargin\.json is not a protocol's result"):
        load_run(tmp_path)
