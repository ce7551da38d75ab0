"""The groups of a report: tables with a tint that grows with the rate, figures of pairs of groups, and words."""

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.evaluation.groups import ImageGroups
from facemargin.report import write_run_report
from facemargin.report.blocks import FigureBlock, Heading, TableBlock
from facemargin.report.groups_section import groups_blocks
from tests.report.report_runs import FEW_RESAMPLES, pair_scores


def groups_in(people=24, images=3, cameras=False):
    """People of three sites, and images of two cameras."""
    first_K, second_K = np.triu_indices(people * images, 1)
    person_N = np.repeat(np.arange(people), images)
    sites = np.where(person_N < 2, -1, person_N % 2)
    labels = [sites, np.arange(people * images) % 2] if cameras else [sites]
    names = [["<b>north", "south"], ["left", "right"]][: len(labels)]
    return ImageGroups(
        "people", ["site", "camera"][: len(labels)], names, np.array(labels), first_K, second_K, fmr=0.05
    )


def test_each_column_and_system_has_a_block():
    systems = [pair_scores(name, people=24, images=3, quality=True, seed=place) for place, name in enumerate("ab")]
    blocks = groups_blocks(systems, groups_in(cameras=True), 2)
    assert [block.text for block in blocks if isinstance(block, Heading)] == [
        "Groups by site, a", "Groups by site, b", "Groups by camera, a", "Groups by camera, b",
    ]  # fmt: skip
    names = [block.name for block in blocks if isinstance(block, FigureBlock)]
    # nobody has two sites, so no genuine pair is of two
    assert names == [
        "evaluation-2-groups-1-1-fmr", "evaluation-2-groups-1-2-fmr",
        "evaluation-2-groups-2-1-fmr", "evaluation-2-groups-2-1-fnmr",
        "evaluation-2-groups-2-2-fmr", "evaluation-2-groups-2-2-fnmr",
    ]  # fmt: skip
    tables = [block.table for block in blocks if isinstance(block, TableBlock)]
    assert [name for name, _ in tables[0].rows] == ["<b>north", "south", "all pairs"]
    cells = [cells[1] for _, cells in tables[0].rows]
    assert cells[2].heat == 0 and cells[0].heat / cells[1].heat == pytest.approx(cells[0].number / cells[1].number)
    assert max(cell.heat for cell in cells) == pytest.approx(0.55)
    assert [cell.value == "" for cell in tables[1].rows[0][1]] == [False, True]
    assert tables[1].rows[0][1][0].number == cells[0].number


def test_a_page_shows_the_groups(tmp_path):
    folder = tmp_path / "evaluation" / "people"
    folder.mkdir(parents=True)
    pair_scores(people=24, images=3, quality=True).save(folder / "facemargin.npz")
    pair_scores("raw pixels", people=24, images=3).save(folder / "raw-pixels.npz")
    groups_in().save(folder / "groups.npz")
    html = write_run_report(tmp_path, FEW_RESAMPLES).read_text(encoding="utf-8")
    assert "Groups by site" in html and "FMR by pair of groups" in html and "rgba(213, 94, 0, 0.550)" in html
    assert "&lt;b&gt;north" in html and "<b>north" not in html
    assert "Groups by site, raw pixels" not in html  # baselines are not told by group


def test_scores_of_other_pairs_are_refused():
    with pytest.raises(
        DataError, match=r"facemargin was scored on 630 pairs of people, but the groups are those of 2,556"
    ):
        groups_blocks([pair_scores()], groups_in(), 1)
    with pytest.raises(DataError, match="do not say which people they show"):
        groups_blocks([pair_scores(people=24, images=3, identities=False)], groups_in(), 1)
