"""Reading run folders: what may be missing, and how what is malformed is named."""

import json
import shutil

import numpy as np
import pytest

from facemargin.errors import DataError
from facemargin.report import load_run
from tests.report.report_runs import gallery, metrics_columns, pair_scores, write_run


def test_a_whole_run_is_read_as_it_was_written(tmp_path):
    content = load_run(write_run(tmp_path / "my run"))
    assert content.title == "my run"
    assert content.recipe.startswith("epochs: 8")
    assert content.environment["threads"] == 2
    assert list(content.metrics) == list(metrics_columns())
    np.testing.assert_allclose(content.metrics["loss"], metrics_columns()["loss"])
    assert content.validation.datasets == ["people"] * 4
    assert np.isnan(content.validation.columns["accuracy"]).all()
    assert [evaluation.dataset for evaluation in content.evaluations] == ["people", "people-degraded"]
    assert [system.system for system in content.evaluations[0].systems] == ["facemargin", "raw pixels", "PCA"]
    assert content.evaluations[0].faces is None
    assert len(content.evaluations[1].faces.captions) == 20


@pytest.mark.parametrize(
    "missing", ["recipe.yaml", "environment.json", "metrics.csv", "validation.csv", "evaluation/people/pca.npz"]
)
def test_any_one_file_may_be_missing(tmp_path, missing):
    folder = write_run(tmp_path)
    (folder / missing).unlink()
    load_run(folder)


def test_the_model_comes_first_and_the_baselines_last_however_their_files_sort(tmp_path):
    place = tmp_path / "evaluation" / "people"
    place.mkdir(parents=True)
    for file, name in zip("12345", ("PCA", "other", "raw pixels", "facemargin", "zebra"), strict=True):
        pair_scores(name).save(place / f"{file}.npz")
    systems = [system.system for system in load_run(tmp_path).evaluations[0].systems]
    assert systems == ["facemargin", "other", "zebra", "raw pixels", "PCA"]


def test_what_systems_leave_is_no_result(tmp_path):
    folder = write_run(tmp_path)
    expected = load_run(folder)
    for place in (folder / "evaluation" / "people", folder / "evaluation" / ".ipynb_checkpoints", folder / "protocols"):
        place.mkdir(exist_ok=True)
        (place / "._pca.npz").write_bytes(b"\0\5\26\7")
        (place / "._x.json").write_bytes(b"\0\5\26\7")
    shutil.copytree(folder / "evaluation" / "people", folder / "evaluation" / "@eaDir")
    found = load_run(folder)
    assert [one.dataset for one in found.evaluations] == [one.dataset for one in expected.evaluations]
    assert [len(one.systems) for one in found.evaluations] == [len(one.systems) for one in expected.evaluations]
    assert found.protocols == expected.protocols


def test_faces_alone_make_an_evaluation(tmp_path):
    (tmp_path / "evaluation" / "people").mkdir(parents=True)
    (tmp_path / "evaluation" / "empty").mkdir()
    gallery().save(tmp_path / "evaluation" / "people" / "faces.npz")
    (evaluation,) = load_run(tmp_path).evaluations
    assert evaluation.dataset == "people"
    assert evaluation.systems == []


def test_a_folder_with_nothing_in_it_is_refused(tmp_path):
    with pytest.raises(DataError, match="nothing to report"):
        load_run(tmp_path)
    with pytest.raises(DataError, match="not a folder"):
        load_run(tmp_path / "absent")


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,loss\n1,5.0\n2,4.5\n3,0.0")
    assert load_run(tmp_path).metrics["step"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("metrics.csv", "", "no column 'step'"),
        ("metrics.csv", "epoch,loss\n1,2\n", "no column 'step'"),
        ("metrics.csv", "step,loss,loss\n1,2,3\n", "twice"),
        ("metrics.csv", "step,loss\n1,2\n2\n", "line 3: 1 value, expected 2"),
        ("metrics.csv", "step,loss\n1,2\n2,low\n", "line 3: column 'loss' holds 'low'"),
        ("metrics.csv", b"step,loss\n\xff,2\n", "cannot be read"),
        ("validation.csv", "step,accuracy\n1,0.5\n", "no column 'dataset'"),
        ("environment.json", "{", "not JSON"),
        ("environment.json", "[1]", "single JSON object"),
        ("environment.json", json.dumps({"torch": {"version": 2}}), "single JSON object"),
        ("recipe.yaml", b"\xff\xfe\xff", "cannot be read"),
        ("evaluation/people/pca.npz", "not an archive", "not a file of pair scores"),
        ("evaluation/people-degraded/faces.npz", "not an archive", "not a gallery"),
    ],
)
def test_malformed_files_are_named(tmp_path, name, text, said):
    path = write_run(tmp_path) / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=said) as caught:
        load_run(tmp_path)
    assert str(path) in str(caught.value)


def test_a_truncated_file_of_scores_is_named(tmp_path):
    path = write_run(tmp_path) / "evaluation" / "people" / "pca.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"pca\.npz"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("system", "dataset", "said"), [("x", "others", "data set"), ("PCA", "people", "as another file in its folder has")]
)
def test_scores_that_do_not_belong_together_are_refused(tmp_path, system, dataset, said):
    folder = write_run(tmp_path)
    pair_scores(system, dataset).save(folder / "evaluation" / "people" / "x.npz")
    with pytest.raises(DataError, match=said):
        load_run(folder)
