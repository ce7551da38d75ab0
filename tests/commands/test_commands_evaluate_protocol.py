import json

import numpy as np
import pytest

from facemargin.evaluation.differences_file import read_differences
from facemargin.evaluation.differences_table import difference_cells
from facemargin.evaluation.protocols.figures import tar_name
from facemargin.evaluation.protocols.known import load_protocol
from facemargin.evaluation.protocols.score_protocol import score_protocol
from facemargin.models.load import load
from facemargin.models.model import Model
from tests.protocol_folders import IJB, write_survface, write_tinyface


@pytest.fixture(scope="module")
def ijbc(tmp_path_factory):
    folder = IJB(tmp_path_factory.mktemp("ijbc"), people=5)
    return folder.root


def written(output, protocol, system="facemargin"):
    return json.loads((output / "protocols" / protocol / f"{system}.json").read_text())


def rates(result):
    return {one["name"]: one["value"] for one in result["figures"]}


@pytest.mark.parametrize("preset", [None, "adaface", "magface"])
def test_ijbc_from_its_folder_to_a_report(command, trained_run, tmp_path, ijbc, preset):
    options = ["--rule", "published"] + (["--preset", preset] if preset else [])
    code, out, err = command(
        "evaluate", trained_run, "--protocol", "ijbc", "--data", ijbc, *options, "--output", tmp_path
    )
    assert (code, err) == (0, "")
    for text in ("TAR at FAR 0.0001", "impostors", " rank 1 ", "TPIR at FPIR 0.01", "images in 15 templates, pooled as",
                 f"pooled as {preset or 'insightface'};", "thresholds: published", f"{tmp_path}/report.html",
    ):  # fmt: skip
        assert text in out
    result = written(tmp_path, "ijbc")
    assert result["views"] == ("one" if preset == "magface" else "flip")
    # the figures are those of the model
    protocol = load_protocol("ijbc", ijbc, "published")
    embeddings = load(trained_run).embed(protocol.images, views=result["views"])
    features = embeddings.vectors * embeddings.norms[:, None]
    expected = score_protocol(
        protocol, features, np.ones(len(features), bool), "x", preset or "insightface", "", "published"
    )
    assert rates(result)["rank 1"] == expected.searches[0].identification.rank_rates[1]
    tar = expected.verification[0].tar_at_far.tar
    assert [rates(result)[tar_name(far)] for far in tar] == list(tar.values())
    page = (tmp_path / "report.html").read_text()
    assert "AdaFace, WebFace4M (published)" in page and "97.39%" in page and "Protocol ijbc" in page
    assert "of 40 impostors, 10 genuine" in page and "ROC, 1:1" in page


def test_features_are_kept_and_found_again(command, trained_run, tmp_path, ijbc, monkeypatch):
    arguments = ["evaluate", trained_run, "--protocol", "ijbc", "--data", ijbc, "--cache", tmp_path / "cache"]
    assert command(*arguments, "--output", tmp_path / "a")[0] == 0
    calls = []
    plain = Model._run
    monkeypatch.setattr(Model, "_run", lambda *args, **options: calls.append(1) or plain(*args, **options))
    assert command(*arguments, "--rule", "published", "--preset", "adaface", "--output", tmp_path / "b")[0] == 0
    assert not calls and len(list((tmp_path / "cache").iterdir())) == 1
    first, second = rates(written(tmp_path / "a", "ijbc")), rates(written(tmp_path / "b", "ijbc"))
    assert "1:N G1 rank 1" in first and "1:N mean rank 1" in first and "rank 1" in second
    assert command(*arguments, "--views", "one", "--output", tmp_path / "c")[0] == 0
    assert calls and len(list((tmp_path / "cache").iterdir())) == 2
    assert written(tmp_path / "c", "ijbc")["views"] == "one"


@pytest.mark.parametrize(("name", "write"), [("tinyface", write_tinyface), ("survface", write_survface)])
def test_images_without_templates(command, trained_run, tmp_path, name, write):
    write(tmp_path / "data")
    code, out, err = command(
        "evaluate", trained_run, "--protocol", name, "--data", tmp_path / "data", "--output", tmp_path
    )
    assert (code, err) == (0, "")
    assert " images; thresholds: standard; views: flip" in out
    page = (tmp_path / "report.html").read_text()
    assert "FunFace, MS1MV3 (published)" in page
    code, _, err = command(
        "evaluate", trained_run, "--protocol", name, "--data", tmp_path / "data", "--preset", "adaface"
    )
    assert code == 2 and f"--preset is given, but it applies to templates, and {name} has no templates" in err


def test_images_that_cannot_be_read_are_refused_or_miss(command, trained_run, tmp_path):
    folder = IJB(tmp_path / "data", people=3)
    (folder.root / "loose_crop" / "1.png").unlink()
    (folder.root / "loose_crop" / "2.png").write_bytes(b"no picture")
    arguments = ["evaluate", trained_run, "--protocol", "ijbc", "--data", folder.root, "--output", tmp_path]
    code, _, err = command(*arguments)
    assert (
        code == 2 and f"ijbc: images that are missing: 1 of {len(folder.images)} (" in err and "loose_crop/1.png" in err
    )
    assert not (tmp_path / "features").exists()
    code, out, err = command(*arguments, "--unreadable", "miss")
    assert (code, err) == (0, "") and "2 images unreadable" in out
    assert written(tmp_path, "ijbc")["unreadable"] == 2
    (folder.root / "loose_crop" / "1.png").write_bytes(b"nor this")
    code, _, err = command(*arguments)
    assert code == 2 and "images that cannot be read: 2 of" in err and "With --unreadable miss they match nobody" in err


def test_embeddings_of_another_tool(command, tmp_path):
    write_survface(tmp_path / "data")
    protocol = load_protocol("survface", tmp_path / "data")
    paths = [protocol.images.describe(index) for index in range(len(protocol.images))]
    np.savez(tmp_path / "theirs.npz", paths=paths, embeddings=np.random.default_rng(0).normal(size=(len(paths), 4)))
    arguments = ["evaluate", tmp_path / "theirs.npz", "--protocol", "survface", "--data", tmp_path / "data"]
    code, out, err = command(*arguments, "--output", tmp_path)
    assert (code, err) == (0, "") and "theirs" in out
    assert written(tmp_path, "survface", "theirs")["system"] == "theirs"
    code, _, err = command(*arguments, "--views", "one", "--output", tmp_path)
    assert code == 2 and "contains embeddings instead of a model, so --views does not apply" in err
    for option, value in (("--device", "cpu"), ("--precision", "bf16")):
        code, _, err = command(*arguments, option, value, "--output", tmp_path)
        assert code == 2 and f"contains embeddings instead of a model, so {option} does not apply" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--protocol", "ijbc", "--data", "{ijbc}", "--degraded"], "--degraded does not apply to --protocol ijbc"),
        (["--protocol", "ijbc", "--data", "{ijbc}", "--folds", "3"], "--folds does not apply to --protocol ijbc"),
        (["--protocol", "ijbc", "--data", "{ijbc}", "--baselines", "orl"], "--baselines does not apply"),
        (["--protocol", "ijbc", "--data", "{ijbc}", "{ijbc}"], "--data has 2 folders, expected one, that of"),
        (["--protocol", "ijbc", "--data", "{ijbc}", "--batch-size", "0"], "--batch-size is 0, expected at least 1"),
        (["--protocol", "ijbc", "--data", "nowhere"], "nowhere does not exist; expected the folder of ijbc"),
        (["--protocol", "ijbb", "--data", "{ijbc}"], "ijbb_face_tid_mid.txt cannot be read: No such file"),
        (["--protocol", "ijbd", "--data", "{ijbc}"], "ijbc"),
        (["--data", "orl:31-32", "--preset", "adaface"], "--preset needs --protocol"),
        (["--data", "orl:31-32", "--batch-size", "3"], "--batch-size needs --protocol"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, tmp_path, ijbc, options, message):
    arguments = [option.format(ijbc=ijbc) for option in options]
    code, out, err = command("evaluate", trained_run, *arguments, "--output", tmp_path)
    assert code == 2 and message in out + err
    assert not (tmp_path / "report.html").exists()


def test_a_pairs_file_of_ones_own(command, trained_run, tmp_path):
    write_survface(tmp_path / "data")
    images = "Face_Verification_Test_Set/verification_images"
    lines = [f"{images}/{a}_0.png {images}/{b}_1.png {int(a == b)}" for a in range(4) for b in range(4)]
    (tmp_path / "data" / "pairs.txt").write_text("\n".join(lines))
    code, out, err = command(
        "evaluate", trained_run, "--protocol", "pairs", "--data", tmp_path / "data", "--output", tmp_path
    )
    assert (code, err) == (0, "") and "of 12 impostors, 4 genuine" in out
    code, out, err = command(
        "evaluate", trained_run, "--protocol", "pairs", "--data", "orl:31-32", "--output", tmp_path / "orl"
    )
    assert (code, err) == (0, "") and "of 100 impostors, 90 genuine" in out
    code, _, err = command("evaluate", trained_run, "--protocol", "pairs", "--data", "nowhere", "--output", tmp_path)
    assert code == 2 and "nowhere does not exist" in err


def test_several_systems_are_in_one_report(command, tmp_path):
    write_survface(tmp_path / "data")
    images = load_protocol("survface", tmp_path / "data").images
    paths = np.array([images.describe(index) for index in range(len(images))])
    for seed, name in enumerate(("a", "b")):
        vectors = np.random.default_rng(seed).normal(size=(len(paths), 4))
        np.savez(tmp_path / f"{name}.npz", paths=paths, embeddings=vectors)
    arguments = ("--protocol", "survface", "--data", tmp_path / "data", "--name", "ours", "theirs")
    code, out, _ = command("evaluate", tmp_path / "a.npz", tmp_path / "b.npz", *arguments, "--output", tmp_path / "out")
    assert code == 0
    assert (
        "Differences between the models are not tested: the lists of the protocol do not say who is in every template."
        in out
    )
    assert "do not say who is in every template" in (tmp_path / "out" / "report.html").read_text()
    assert rates(written(tmp_path / "out", "survface", "ours")) != rates(
        written(tmp_path / "out", "survface", "theirs")
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert "ours" in page and "theirs" in page


@pytest.mark.parametrize("protocol", ["ijbc", "pairs"])
def test_systems_differ_by_people_where_the_lists_say_who_they_are(command, tmp_path, ijbc, protocol):
    data = ijbc if protocol == "ijbc" else "orl:31-36"
    loaded = load_protocol(protocol, data)
    paths = np.array([loaded.images.describe(index) for index in range(len(loaded.images))])
    for seed, name in enumerate(("a", "b")):
        np.savez(
            tmp_path / f"{name}.npz", paths=paths,
            embeddings=np.random.default_rng(seed).normal(size=(len(paths), 4)),
        )  # fmt: skip
    code, out, err = command(
        "evaluate", tmp_path / "a.npz", tmp_path / "b.npz", "--protocol", protocol, "--data", data,
        "--name", "ours", "theirs", "--output", tmp_path / "out",
    )  # fmt: skip
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "p (Holm)" in text and "ours − theirs" in text
    assert f"{5 if protocol == 'ijbc' else 6} people were resampled" in text
    (one,) = [experiment for experiment in loaded.experiments if hasattr(experiment, "people_U")]
    same_people = one.people_U[one.first_K] == one.people_U[one.second_K]
    np.testing.assert_array_equal(same_people, one.same_K.astype(bool))
    place = tmp_path / "out" / "protocols"
    (file,) = place.glob("*/differences.json")
    stored = read_differences(file)
    tested = stored.experiments[one.name]
    assert stored.systems == ("ours", "theirs") and tested.people == (5 if protocol == "ijbc" else 6)
    tars = {name: written(tmp_path / "out", file.parent.name, name)["verification"][0] for name in stored.systems}
    for row in tested.rows:
        ours, theirs = (
            next(p["tar"] for p in tars[name]["tar_at_far"]["points"] if p["target_far"] == row.point.target_far)
            for name in stored.systems
        )
        assert row.point.difference == pytest.approx(ours - theirs, abs=1e-12)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Do the systems differ?" in page and difference_cells(tested.rows[0])[0].split("\n")[0] in page
    assert f"with {tested.people} people the intervals are too narrow" in page
    code, out, _ = command(
        "evaluate", tmp_path / "a.npz", "--protocol", protocol, "--data", data, "--name", "ours",
        "--output", tmp_path / "out",
    )  # fmt: skip
    assert code == 0 and "had the differences of ours, theirs and is deleted" in " ".join(out.split())
    assert not file.exists() and "Do the systems differ?" not in (tmp_path / "out" / "report.html").read_text()
