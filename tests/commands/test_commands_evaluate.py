import json
import shutil

import cv2
import numpy as np
import pytest
from safetensors.torch import load_file

from facemargin.cli import main
from facemargin.data.formats.orl import EmbeddedFaces, embedded_verification_set
from facemargin.data.open import open_verification
from facemargin.evaluation import PairScores, centered_accuracy
from facemargin.evaluation.quality_comparison import QualityMeasures
from facemargin.models.load import load


def evaluation(folder, name, system="facemargin"):
    return PairScores.load(folder / "evaluation" / name / f"{system}.npz")


def test_images_that_are_squashed_are_warned_of(command, trained_run, tmp_path, caplog):
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"{number}.png"), open_verification("orl-full:31").images.read(number))
    (tmp_path / "pairs.csv").write_text("0.png,1.png,1\n2.png,3.png,0\n")
    code, _, _ = command("evaluate", trained_run, "--data", tmp_path, "--output", tmp_path / "out")
    assert code == 0 and "4 of the 4 images looked at are not square" in caplog.text
    assert caplog.text.count("square (") == 1  # not again by the model


@pytest.mark.slow
def test_a_run_is_scored_beside_its_degraded_twin_and_the_baselines(command, trained_run, tmp_path):
    code, out, err = command(
        "evaluate", trained_run, "--data", "orl:31-33", "--degraded", "--baselines", "orl:1-4", "--views", "one",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert (code, err) == (0, "")
    for text in ("facemargin", "raw pixels", "PCA", "orl:31-33-degraded", "TAR @ FAR 0.01", f"{tmp_path}/out/report"):
        assert text in out
    for name in ("orl-31-33", "orl-31-33-degraded"):
        for system in ("facemargin", "raw-pixels", "PCA"):
            assert len(evaluation(tmp_path / "out", name, system).scores_K) == 435
    page = (tmp_path / "out" / "report.html").read_text()
    assert "orl:31-33-degraded" in page and "AT&amp;T" in page
    # The scores are those of the model.
    pairs = embedded_verification_set([31, 32, 33])
    vectors = load(trained_run).embed(pairs.images, views="one").vectors.astype(np.float64)
    expected = [vectors[a] @ vectors[b] for a, b in zip(pairs.first_K, pairs.second_K, strict=True)]
    np.testing.assert_allclose(evaluation(tmp_path / "out", "orl-31-33").scores_K, expected, atol=1e-6)


def test_the_certainty_ratio_is_a_quality_for_people_of_the_training_set(command, trained_run, tmp_path):
    options = ("--quality", "certainty-ratio", "--output", tmp_path)
    code, _, err = command("evaluate", trained_run, "--data", "orl:2-4", *options)
    assert (code, err) == (0, "")
    scores = evaluation(tmp_path, "orl-2-4")
    centers = load_file(trained_run / "head.safetensors")["weight"].double().numpy()
    assert len(centers) == 8  # 4 people and their mirrored twins
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    faces = EmbeddedFaces([2, 3, 4])
    cosines = load(trained_run).embed(faces).vectors.astype(np.float64) @ centers.T
    ratios = []
    for row, label in zip(cosines, faces.labels, strict=True):
        own = label + 1  # person 2 is the run's class 1
        hardest = max(value for index, value in enumerate(row) if index != own)
        ratios.append(np.clip(row[own], 0, 1) / (np.clip(hardest, 0, 1) + 1e-5))
    pairs = embedded_verification_set([2, 3, 4])
    np.testing.assert_allclose(scores.quality_a_K, np.array(ratios)[pairs.first_K], rtol=1e-3)
    assert np.mean(ratios) > 1  # it was trained on them


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "orl:3-6"], "people of orl:3-6 who were not in the training set: 2 (s5, s6)"),
        (["--data", "orl:31-40"], "people of orl:31-40 who were not in the training set: 10"),
    ],
)
def test_the_certainty_ratio_of_unknown_people_is_not_known(command, trained_run, tmp_path, options, message):
    arguments = ["evaluate", trained_run, *options, "--quality", "certainty-ratio", "--output", tmp_path]
    code, _, err = command(*arguments)
    assert code == 2 and message in err
    assert not (tmp_path / "evaluation").exists()


def test_a_training_set_that_has_changed_is_noticed(command, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run")
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("train: orl:1-4", "train: orl:1-5"))
    code, _, err = command("evaluate", run, "--data", "orl:2-3", "--quality", "certainty-ratio")
    assert code == 2 and "8 class centres, but its training set orl:1-5 now gives 10" in err


@pytest.fixture(scope="module")
def run_with_layer(trained_run, tmp_path_factory):
    """The run of `trained_run`, trained with CR-FIQA's layer."""
    folder = tmp_path_factory.mktemp("with_layer") / "run"
    recipe = str(trained_run / "recipe.yaml")
    assert main(["train", recipe, "--quality.name", "crfiqa", "--epochs", "2", "--output", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("options", [(), ("--quality", "crfiqa"), ("--quality", "norm")])
def test_the_models_own_quality_is_the_default_and_the_norm_can_be_had(command, run_with_layer, tmp_path, options):
    code, _, err = command("evaluate", run_with_layer, "--data", "orl:31-32", *options, "--output", tmp_path)
    assert (code, err) == (0, "")
    pairs = embedded_verification_set([31, 32])
    embeddings = load(run_with_layer).embed(pairs.images)
    expected_N = embeddings.norms if "norm" in options else embeddings.quality
    assert not np.allclose(embeddings.norms, embeddings.quality)
    scores = evaluation(tmp_path, "orl-31-32")
    np.testing.assert_allclose(scores.quality_a_K, expected_N[pairs.first_K], rtol=1e-5)
    np.testing.assert_allclose(scores.quality_b_K, expected_N[pairs.second_K], rtol=1e-5)


def write_embeddings(path, people):
    faces = EmbeddedFaces(people)
    names = ["/".join(faces.describe(index).split("/")[-2:]) for index in range(len(faces))]
    vectors_ND = np.random.default_rng(0).normal(size=(len(faces), 4)) + 3 * np.eye(4)[faces.labels % 4]
    np.savez(path, paths=np.array(names), embeddings=vectors_ND)
    return path


@pytest.mark.parametrize("options", [[], ["--quality", "norm"]])
def test_stored_qualities_are_used_unless_the_norm_is_asked_for(command, tmp_path, options):
    path = write_embeddings(tmp_path / "theirs.npz", [1, 2])
    with np.load(path) as archive:
        arrays = dict(archive)
    np.savez(path, **arrays, quality=np.arange(20.0))
    assert command("evaluate", path, "--data", "orl:1-2", "--output", tmp_path, *options)[0] == 0
    scores = evaluation(tmp_path, "orl-1-2", "theirs")
    expected_N = np.linalg.norm(arrays["embeddings"], axis=1) if options else np.arange(20.0)
    pairs = embedded_verification_set([1, 2])
    np.testing.assert_allclose(scores.quality_a_K, expected_N[pairs.first_K], rtol=1e-5)


@pytest.mark.parametrize("grid", [[], ["--grid", "insightface"], ["--grid", "magface"]])
def test_embeddings_of_another_tool_are_scored_over_folds(command, tmp_path, grid):
    path = write_embeddings(tmp_path / "theirs.npz", [1, 2, 3])
    code, out, err = command("evaluate", path, "--data", "orl:1-3", "--folds", "5", *grid, "--output", tmp_path / "out")
    assert (code, err) == (0, "")
    assert "theirs" in out and "accuracy ± std of folds" in out
    summary = json.loads((tmp_path / "out" / "evaluation" / "orl-1-3" / "theirs.json").read_text())
    assert (summary["accuracy_by"] in " ".join(out.split())) == bool(grid)
    thresholds = np.array(summary["accuracy"]["thresholds"])
    if "magface" in grid:
        with np.load(path) as stored:
            pairs, features = embedded_verification_set([1, 2, 3]), stored["embeddings"].astype(np.float32)
        expected = centered_accuracy(features[pairs.first_K], features[pairs.second_K], pairs.same_K, 5)
        np.testing.assert_allclose(thresholds, expected.thresholds)
        np.testing.assert_allclose(summary["accuracy"]["mean"], expected.mean)
        return
    # InsightFace's grid: squared distances 2 − 2c in steps of 0.01, from 0 to 4.
    distances = (2 - 2 * thresholds) / 0.01
    assert np.allclose(distances, np.round(distances), atol=1e-6) == bool(grid)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{npz}", "--data", "orl:1-3", "--quality", "certainty-ratio"], "contains embeddings instead of a model"),
        (["{npz}", "--data", "orl:1-3", "--quality", "crfiqa"], "contains embeddings instead of a model"),
        (["{npz}", "--data", "orl:1-3", "--views", "one"], "contains embeddings instead of a model"),
        (["{run}", "--data", "orl:1-3", "--quality", "crfiqa"], "has no layer that predicts quality: train with"),
        (["{npz}", "--data", "orl:4"], "holds no embedding of"),
        (["{npz}", "--data", "orl:1-3", "--degraded"], "holds no embedding of"),
        (["{run}/model.safetensors", "--data", "orl:1-3", "--quality", "certainty-ratio"], "needs a run folder"),
        (["{run}", "--data", "orl:1-3", "--grid", "insightface"], "no set has folds: add --folds"),
        (["{run}", "--data", "orl:1-3", "orl:1-3"], "several verification sets are called orl-1-3"),
        (["{run}", "--data", "orl:50-60"], "people 1 to 40"),
        (["{run}", "--data", "nowhere"], "nowhere does not exist"),
        (["{run}", "--data"], "--data"),
        (["{tmp}", "--data", "orl:1-3"], "there is no model file"),
        (["{tmp}/none", "--data", "orl:1-3"], "there is no model file"),
        (["{run}", "--data", "orl:1-3", "--baselines", "nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, tmp_path, arguments, message):
    npz = write_embeddings(tmp_path / "theirs.npz", [1, 2, 3])
    places = {"npz": npz, "run": trained_run, "tmp": tmp_path}
    code, out, err = command("evaluate", *(word.format(**places) for word in arguments), "--output", tmp_path / "out")
    assert code == 2
    assert message in out + err
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_model_file_writes_beside_no_run(command, trained_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained_run / "model.safetensors", tmp_path / "mine.safetensors")
    code, out, _ = command("evaluate", "mine.safetensors", "--data", "orl:31-32")
    assert code == 0
    assert (tmp_path / "evaluations" / "mine" / "report.html").exists()
    assert "report: evaluations/mine/report.html" in out


def test_the_report_of_a_run_is_written(command, trained_run, tmp_path):
    run = shutil.copytree(trained_run, tmp_path / "run [a]")
    code, out, _ = command("report", run)
    assert code == 0 and f"report: {run}/report.html" in out
    assert "Training loss" in (run / "report.html").read_text()


def test_a_folder_without_anything_to_report_is_named(command, tmp_path):
    code, _, err = command("report", tmp_path)
    assert code == 2 and "holds nothing to report" in err
    code, _, err = command("report", tmp_path / "none")
    assert code == 2 and "is not a folder" in err


def test_several_measures_of_quality_are_compared(command, trained_run, tmp_path):
    images = open_verification("orl:2-3").images
    ofiq = tmp_path / "ofiq.csv"
    lines = [f"{images.describe(i)},{i},{-i}" for i in range(len(images))]
    ofiq.write_text("\n".join(["image,UnifiedQualityScore,other", *lines]) + "\n", encoding="utf-8")
    arguments = ("evaluate", trained_run, "--data", "orl:2-3", "--output", tmp_path / "out")
    code, out, err = command(*arguments, "--quality", "norm", ofiq, f"{ofiq}:other", "--refit")
    assert code == 0, err
    assert "Spearman" in out and "FMR 0.001" in out and "FMR 0.0001" in out
    place = tmp_path / "out" / "evaluation" / "orl-2-3"
    measures = QualityMeasures.load(place / "quality.npz")
    assert measures.measures == ["norm", str(ofiq), f"{ofiq}:other"]
    np.testing.assert_array_equal(measures.quality_MN[1], np.arange(len(images)))
    scores = PairScores.load(place / "facemargin.npz")
    np.testing.assert_allclose(scores.quality_a_K, measures.quality_MN[0][measures.first_K], rtol=1e-6)  # the first
    figures = json.loads((place / "quality.json").read_text())
    assert figures["spearman_MM"][1][2] == -1 and figures["refit"] and measures.refit
    assert "Measures of quality compared" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    # One measure leaves no comparison behind, its own or an earlier one's.
    assert command(*arguments, "--quality", ofiq)[0] == 0
    assert not (place / "quality.npz").exists()
    np.testing.assert_array_equal(PairScores.load(place / "facemargin.npz").quality_b_K, measures.second_K)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--quality", "sharpness"],
            "neither one of certainty-ratio, crfiqa, grafiqs, image-statistics, norm, serfiq nor a .csv file",
        ),
        (["--quality", "serfiq:dropout=2"], "dropout is 2.0, expected a number between 0 and 1"),
        (["--quality", "norm", "norm"], "--quality contains norm twice"),
        (["--quality", "norm", "--refit"], "--refit is for comparing measures of quality"),
        (["--quality", "{csv}", "--degraded"], "has no qualities of degraded images"),
        (["--quality", "{csv}"], "holds no quality of"),
    ],
)
def test_measures_that_there_are_none_of_are_refused(command, trained_run, tmp_path, options, message):
    path = tmp_path / "few.csv"
    path.write_text("path,quality\nnobody.jpg,1\n")
    options = [option.format(csv=path) for option in options]
    code, _, err = command("evaluate", trained_run, "--data", "orl:2-3", "--output", tmp_path / "out", *options)
    assert code == 2 and message in err.replace("\n", " "), err


@pytest.fixture
def stored_systems(tmp_path):
    """Embeddings of the faces of orl:31-34 by three systems, the first of them better than the others."""
    pairs = embedded_verification_set([31, 32, 33, 34])
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(4, 16))
    for name, noise in (("good", 0.6), ("poor", 1.5), ("worse", 2.0)):
        vectors = centers[np.repeat(np.arange(4), 10)] + noise * rng.normal(size=(40, 16))
        paths = np.array([pairs.images.describe(index) for index in range(40)])
        np.savez(tmp_path / f"{name}.npz", paths=paths, embeddings=vectors)
    return [tmp_path / f"{name}.npz" for name in ("good", "poor", "worse")]


def test_several_systems_are_compared_in_one_table_and_one_report(command, stored_systems, tmp_path):
    names = ("ours", "A loss", "z")
    output = tmp_path / "out"
    arguments = ("--name", *names, "--data", "orl:31-34", "--baselines", "orl:1-4", "--output", output)
    code, out, err = command("evaluate", *stored_systems, *arguments)
    assert (code, err) == (0, "")
    for text in (
        *names,
        "raw pixels",
        "Holm's p allows for the 4 comparisons of this table",
        "4 people were resampled",
    ):
        assert text in " ".join(out.split())
    for name in ("ours", "A-loss", "z"):
        assert (output / "evaluation" / "orl-31-34" / f"{name}.json").exists()
    page = (output / "report.html").read_text()
    assert "Do the systems differ?" in page
    # as they were given, and baselines are neither first nor compared
    assert page.index("ours − A loss") < page.index("ours − z")
    assert "ours − raw pixels" not in page and "PCA" in page


def test_a_system_joins_those_of_an_earlier_evaluation(command, stored_systems, tmp_path):
    output = tmp_path / "out"
    for model, name in zip(stored_systems[:2], ("first", "a second"), strict=True):
        code, _, _ = command("evaluate", model, "--name", name, "--data", "orl:31-34", "--output", output)
        assert code == 0
    page = (output / "report.html").read_text()
    assert "first − a second" in page
    before = evaluation(output, "orl-31-34", "first").scores_K
    code, _, err = command("evaluate", stored_systems[2], "--name", "first", "--data", "orl:31-34", "--output", output)
    assert code == 2 and "holds figures of" in err and "choose another --output" in err
    assert (evaluation(output, "orl-31-34", "first").scores_K == before).all()


def test_pairs_of_unknown_people_are_not_compared_as_if_they_were_independent(command, stored_systems, tmp_path):
    faces = embedded_verification_set([31, 32, 33, 34]).images
    folder = tmp_path / "pairs"
    folder.mkdir()
    lines = []
    for index in range(40):
        cv2.imwrite(str(folder / f"{index}.png"), faces.read(index))
        lines += [f"{index}.png,{other}.png,{int(index // 10 == other // 10)}" for other in range(index)]
    (folder / "pairs.csv").write_text("\n".join(lines) + "\n")
    for model in stored_systems:
        stored = dict(np.load(model))
        np.savez(
            model,
            paths=np.array([str(folder / f"{index}.png") for index in range(40)]),
            embeddings=stored["embeddings"],
        )
    arguments = ("--data", folder / "pairs.csv", "--output", tmp_path / "out")
    code, out, _ = command("evaluate", *stored_systems, *arguments)
    assert code == 0
    assert "do not say which people they show" in " ".join(out.split())
    assert "do not say which people they show" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([0, 1], ["--name", "a", "a"], "two systems are called a: give each model a name of its own with --name"),
        ([0, 0], [], "two systems are called good"),
        ([0, 1], ["--name", "a b", "a-b"], "two systems are called a b"),
        ([0, 1], ["--name", "a"], "--name has 1 name for 2 models: give one name for each model"),
        ([0, 1], ["--name", "a", "faces"], "a system cannot be called 'faces'"),
        ([0, 1], ["--name", "PCA", "a"], "a system cannot be called 'PCA'"),
        ([0, 1], ["--name", "a", "decisions"], "a system cannot be called 'decisions'"),
        ([0, 1], ["--quality", "norm", "a.csv"], "several measures of quality are compared for one model"),
        ([], [], "no model is given: facemargin evaluate MODEL --data SET"),
    ],
)
def test_names_that_cannot_be_told_apart_are_refused(command, stored_systems, tmp_path, models, options, message):
    chosen = [stored_systems[index] for index in models]
    code, _, err = command("evaluate", *chosen, "--data", "orl:31-34", *options, "--output", tmp_path / "out")
    assert code == 2 and message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["faces", "Quality", "reconstructions", "decisions", "origin", "raw pixels", "pca"])
def test_embeddings_in_a_file_called_like_another_result_need_a_name(command, stored_systems, tmp_path, name):
    model = stored_systems[0].rename(tmp_path / f"{name}.npz")
    arguments = ("evaluate", model, "--data", "orl:31-34", "--output", tmp_path / "out")
    code, _, err = command(*arguments)
    assert code == 2 and f"a system cannot be called '{name}'" in err and "with --name" in err
    assert not (tmp_path / "out").exists()
    if name == "faces":
        code, _, _ = command(*arguments, "--name", "theirs")
        assert code == 0 and len(evaluation(tmp_path / "out", "orl-31-34", "theirs").scores_K) == 780
