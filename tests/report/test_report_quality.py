"""The report's comparison of quality measures."""

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.evaluation.folder import QUALITY_FILE
from facemargin.evaluation.quality_comparison import QualityMeasures
from facemargin.report import write_run_report
from facemargin.report.content import load_run
from facemargin.report.quality_section import quality_section
from tests.report.report_runs import FEW_RESAMPLES, pair_scores


def quality_measures(names=("norm", "crfiqa")) -> QualityMeasures:
    scores = pair_scores(quality=True)
    first_K, second_K = np.triu_indices(36, 1)
    rng = np.random.default_rng(0)
    quality_MN = rng.uniform(size=(len(names), 36))
    return QualityMeasures(
        "facemargin", "people", list(names), scores.scores_K, scores.same_K, first_K, second_K, quality_MN
    )


def test_tables_figures_and_notes():
    section = quality_section(quality_measures(), 2)
    assert [heading for heading, _ in section.tables] == [
        "Quality measures at FMR 0.1%",
        "Quality measures at FMR 0.01%",
        "Spearman correlation of the measures over the images",
    ]
    table = section.tables[0][1]
    assert [name for name, _ in table.rows] == ["norm", "crfiqa"]
    assert table.headings[:3] == ["FNMR, nothing discarded", "10% discarded", "20% discarded"]
    assert table.headings[-1] == "pAUC to 50%"
    rho = section.tables[2][1].rows
    assert rho[0][1][0].value == "1.00" and rho[0][1][1].value == rho[1][1][0].value
    assert [figure.name for figure in section.figures] == [
        "evaluation-2-measures-0-001",
        "evaluation-2-measures-0-0001",
    ]
    assert any("may accept 0 of 540 impostor pairs" in note for note in section.notes)


def test_one_measure_has_no_correlations():
    assert len(quality_section(quality_measures(("norm",)), 1).tables) == 2


def test_a_page_shows_the_comparison(tmp_path):
    folder = tmp_path / "evaluation" / "people"
    folder.mkdir(parents=True)
    pair_scores(quality=True).save(folder / "facemargin.npz")
    quality_measures(("norm", "<b>ofiq</b>")).save(folder / QUALITY_FILE)
    assert load_run(tmp_path).evaluations[0].quality.measures == ["norm", "<b>ofiq</b>"]
    html = write_run_report(tmp_path, FEW_RESAMPLES).read_text(encoding="utf-8")
    assert "Measures of quality compared" in html and "Spearman correlation" in html
    assert "&lt;b&gt;ofiq&lt;" in html and "<b>ofiq" not in html
    assert html.count('<th scope="col">Measure</th>') == 3


def test_without_a_file_there_is_no_comparison(tmp_path):
    folder = tmp_path / "evaluation" / "people"
    folder.mkdir(parents=True)
    pair_scores(quality=True).save(folder / "facemargin.npz")
    assert "Measures of quality" not in write_run_report(tmp_path, FEW_RESAMPLES).read_text(encoding="utf-8")


def test_a_damaged_file_is_named(tmp_path):
    folder = tmp_path / "evaluation" / "people"
    folder.mkdir(parents=True)
    (folder / QUALITY_FILE).write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"quality\.npz is not a file of quality measures"):
        load_run(tmp_path)
