"""`facemargin quality --check`, and what the other verbs say of a quality that was checked."""

import json
import shutil

import pytest

import facemargin as fm
from facemargin.decision.checked_model import CheckedModel, find_check
from facemargin.features.measures import MEASURES
from tests.commands.face_folder import write_faces
from tests.decision.test_decision_checked_model import check_of


@pytest.fixture(scope="module")
def run(trained_run, tmp_path_factory):
    """A copy, in which tests leave checks."""
    return shutil.copytree(trained_run, tmp_path_factory.mktemp("checked") / "run")


@pytest.fixture
def faces(tmp_path):
    write_faces(tmp_path / "faces", range(5, 7), each=2)
    return tmp_path / "faces"


def leave(run, verdict):
    """A check of the run's quality with this verdict, or none."""
    (run / "quality_check.json").unlink(missing_ok=True)
    if verdict:
        model = fm.load(run)
        CheckedModel.of(model, {"norm": check_of(verdict=verdict)}).save(run / "quality_check.json")


@pytest.mark.parametrize("order", [["--check", "{run}"], ["{run}", "--check"]], ids=["--check MODEL", "MODEL --check"])
def test_a_check_is_printed_and_found_again(command, run, order):
    leave(run, None)
    words = [word.format(run=run) for word in order]
    code, out, err = command("quality", *words, "--data", "orl:11-16", "--faces", 12)
    assert (code, err) == (0, "")
    assert "12 of 60 faces, of 6 people (--faces chooses how many)" in out
    assert f"the quality of {run} by its norm: not shown to help" in out and "rest on 6 people" in out
    assert f"kept in {run}/quality_check.json\n" in out
    check = find_check(run, fm.load(run))
    assert (check.images, check.people, check.faces) == (12, 6, "orl:11-16")
    assert all(reason in out for reason in check.reasons)


def test_other_measures_are_checked_and_kept_beside_the_models_own(command, run):
    leave(run, "helps")
    code, out, err = command(
        "quality",
        "--check",
        run,
        "--data",
        "orl:11-15",
        "--faces",
        10,
        "--measure",
        "serfiq:dropout=0.5:passes=3",
        "norm",
    )
    assert code == 0, err
    assert f"the quality of {run} by the measure serfiq:dropout=0.5:passes=3: " in out
    assert f"the quality of {run} by its norm: not shown to help" in out
    model = fm.load(run)
    assert find_check(run, model).images == find_check(run, model, "serfiq:dropout=0.5:passes=3").images == 10
    leave(run, "helps")
    assert command("quality", "--check", run, "--data", "orl:11-15", "--faces", 10, "--measure", "grafiqs")[0] == 0
    assert find_check(run, model).helps and find_check(run, model, "grafiqs").images == 10
    code, _, err = command("quality", "--check", run, "--data", "orl:11-15", "--measure", "crfiqa")
    assert code == 2 and "no layer that predicts quality" in err


def test_a_given_output_is_written_instead(command, run, tmp_path):
    leave(run, None)
    code, out, _ = command("quality", "--check", run, "--data", "orl:11-15", "--output", tmp_path / "c.json")
    assert code == 0 and "50 faces of 5 people" in out
    assert f"kept in {tmp_path}/c.json; where qualities are shown, {run}/quality_check.json is looked for" in out
    assert not (run / "quality_check.json").exists()
    assert CheckedModel.load(tmp_path / "c.json").checks["norm"].images == 50


def test_faces_that_cannot_be_read_are_named(command, run, tmp_path):
    paths = write_faces(tmp_path / "people", range(1, 7), each=3)
    paths[4].write_bytes(b"garbage")
    code, out, err = command("quality", "--check", run, "--data", tmp_path / "people", "--output", tmp_path / "c.json")
    assert code == 0 and "17 of 18 faces, of 6 people" in out
    assert f"{paths[4]}: not an image" in err and "warning: 1 of 18 images cannot be read" in err


def test_quality_says_what_is_known(command, run, faces):
    leave(run, None)
    assert f"was never checked: facemargin quality --check {run} --data FACES" in command("quality", run, faces)[1]
    leave(run, "helps")
    code, out, err = command("quality", run, faces)
    assert (code, err) == (0, "") and "quality by its norm is shown to help (checked on faces)" in out
    leave(run, "not shown to help")
    code, out, err = command("quality", run, faces)
    assert code == 0 and err == (
        "warning: the model's quality by its norm is not shown to help (checked on faces: it was so)\n"
    )


def test_quality_says_what_is_known_of_the_measures_that_are_shown(command, run, faces):
    leave(run, None)
    measures = "image-statistics", "grafiqs", "serfiq:dropout=0.5:passes=2"
    model = fm.load(run)
    checks = {
        "norm": check_of(),
        "image-statistics": check_of("image-statistics"),
        "grafiqs": check_of("grafiqs", "not shown to help"),
    }
    CheckedModel.of(model, checks).save(run / "quality_check.json")
    code, out, err = command("quality", run, faces, "--measure", *measures)
    assert code == 0 and "by its norm" not in out + err
    assert "\nquality by image-statistics is shown to help (checked on faces)\n" in out
    assert "warning: quality by grafiqs is not shown to help (checked on faces: it was so)\n" in err
    assert (
        f"whether quality by {measures[2]} helps was never checked: "
        f"facemargin quality --check {run} --data FACES --measure {measures[2]}\n" in out
    )
    assert "the model's quality by its norm is shown to help" in command("quality", run, faces, "--measure", "norm")[1]


def test_pictures_are_embedded_once_for_several_measures(command, run, tmp_path, monkeypatch):
    sizes = []
    embed = fm.Model.embed
    monkeypatch.setattr(
        fm.Model, "embed", lambda self, *given, **named: sizes.append(len(given[0])) or embed(self, *given, **named)
    )
    MEASURES.register("also-norm")(lambda model: lambda images, embed: embed(images).norms)
    try:
        arguments = "--data", "orl:11-15", "--faces", 10, "--measure", "norm", "also-norm", "--output"
        assert command("quality", "--check", run, *arguments, tmp_path / "c.json")[0] == 0
    finally:
        del MEASURES._entries["also-norm"]
    pictures = [size for size in sizes if size >= 20]  # the others are of fingerprints
    assert pictures == [20, 20 + 10 * 6 * 4 + 5 * 50]
    checks = CheckedModel.load(tmp_path / "c.json").checks
    assert checks["norm"].kinds == checks["also-norm"].kinds


VERBS = {
    "embed": ["embed", "{run}", "{faces}", "--output", "{tmp}/e.npz"],
    "embed to a folder": ["embed", "{run}", "{faces}", "--output", "{tmp}/e"],
    "verify": ["verify", "{run}", "{faces}/s5/s5_0001.jpg", "{faces}/s5/s5_0002.jpg"],
    "verify pairs": ["verify", "{run}", "--pairs", "{tmp}/p.csv", "--output", "{tmp}/o.csv"],
    "calibrate images": ["calibrate", "{run}", "--images", "{faces}", "--output", "{tmp}/c.json"],
    "calibrate pairs": ["calibrate", "{run}", "--pairs", "orl:5-6", "--output", "{tmp}/c.json"],
    "evaluate": ["evaluate", "{run}", "--data", "orl:5-6", "--output", "{tmp}/ev"],
}


@pytest.mark.parametrize("arguments", VERBS.values(), ids=VERBS)
def test_every_verb_that_shows_qualities_warns_of_one_that_fails(command, run, faces, tmp_path, arguments):
    (tmp_path / "p.csv").write_text("faces/s5/s5_0001.jpg,faces/s5/s5_0002.jpg\n", encoding="utf-8")
    arguments = [word.format(run=run, faces=faces, tmp=tmp_path) for word in arguments]
    said = {}
    for verdict in (None, "helps", "not shown to help"):
        leave(run, verdict)
        code, out, err = command(*arguments, *(["--overwrite"] if arguments[0] == "evaluate" else []))
        assert code == 0
        said[verdict] = "quality by its norm is not shown to help" in err
        assert "shown to help" not in out and "was never checked" not in out + err
        if arguments[0] == "evaluate":
            page = (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
            assert ("can be trusted was checked on 9 faces" in page) == (verdict is not None)
            assert ("<strong>not shown to help.</strong>" in page) == (verdict == "not shown to help")
            assert (tmp_path / "ev" / "quality_check.json").exists() == (verdict is not None)
    assert said == {None: False, "helps": False, "not shown to help": True}


@pytest.fixture
def evaluated(command, run, tmp_path):
    """Evaluates the run into a folder, and says whether it has a check and what its report says of it."""

    def evaluate(*options, output=tmp_path / "ev"):
        assert command("evaluate", *options, "--data", "orl:5-6", "--output", output, "--overwrite")[0] == 0
        page = (output / "report.html").read_text(encoding="utf-8")
        return (output / "quality_check.json").exists(), "can be trusted was checked" in page, page

    return evaluate


@pytest.mark.slow
@pytest.mark.long
def test_a_check_is_said_of_its_own_measure_alone(run, evaluated):
    leave(run, "not shown to help")
    for output in (None, run):
        place = {} if output is None else {"output": output}
        kept, said, page = evaluated(run, **place)
        assert kept and said and "<h3>Lowest quality (not shown to help)</h3>" in page
        kept, said, page = evaluated(run, "--quality", "norm", **place)
        assert kept and said and "<h3>Lowest quality by norm (not shown to help)</h3>" in page
        kept, said, page = evaluated(run, "--quality", "image-statistics", **place)
        assert kept == (output is run) and not said
        assert "<h3>Lowest quality by image-statistics</h3>" in page and "not shown to help" not in page


def test_the_check_of_one_model_is_not_said_of_several(run, evaluated):
    leave(run, "not shown to help")
    assert evaluated(run)[:2] == (True, True)
    kept, said, _ = evaluated(run, run, "--name", "one", "two")
    assert not kept and not said


def test_another_model_leaves_the_check_of_the_run_in_whose_folder_it_is_evaluated(run, evaluated, tmp_path):
    leave(run, "not shown to help")
    before = (run / "quality_check.json").read_bytes()
    other = shutil.copy(run / "model.safetensors", tmp_path / "other.safetensors")
    assert find_check(other, fm.load(other)) is None
    evaluated(other, "--name", "other", output=run)
    assert (run / "quality_check.json").read_bytes() == before


def test_the_report_of_a_run_takes_no_check_of_the_model_before_it_changed(command, run, caplog):
    leave(run, "not shown to help")
    command("evaluate", run, "--data", "orl:5-6")
    assert "<strong>not shown to help.</strong>" in (run / "report.html").read_text(encoding="utf-8")
    content = json.loads((run / "quality_check.json").read_text(encoding="utf-8"))
    content["fingerprint"] = content["fingerprint"][::-1]
    (run / "quality_check.json").write_text(json.dumps(content), encoding="utf-8")
    code, _, _ = command("report", run)
    assert code == 0 and "can be trusted was checked" not in (run / "report.html").read_text(encoding="utf-8")
    assert "is about another model, or about this one before it changed" in caplog.text


def test_the_card_of_an_uploaded_model_says_it_without_names_of_files(command, run, tmp_path):
    cards = {}
    for number, verdict in enumerate((None, "helps", "not shown to help")):
        leave(run, verdict)
        assert command("push", run, "me/tiny", "--dry-run", tmp_path / str(number))[0] == 0
        cards[verdict] = (tmp_path / str(number) / "README.md").read_text(encoding="utf-8")
    assert "Quality is the norm of the feature. " in cards[None]
    assert "feature, which is shown to help, checked on 9 faces of 3 people. " in cards["helps"]
    assert "feature, which is not shown to help, checked on 9 faces of 3 people. " in cards["not shown to help"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--check"], "--check needs --data with faces of known people"),
        (["{faces}", "--check", "--data", "orl:1-5"], "so it has no use for {faces}: remove this, or --check"),
        (["--check", "--data", "orl:1-5", "--output", "c.csv"], "expected with --check a name that ends in .json"),
        (["--check", "--data", "orl:1-4"], "4 people have several images; expected at least 5"),
        (["--check", "--data", "orl:1-5", "--faces", "1"], "the number of faces is 1, expected at least 2"),
        (["{faces}", "--data", "orl:1-5"], "--data is for checking a quality: add --check"),
        (["{faces}", "--faces", "7"], "--faces is for checking a quality: add --check"),
        (["--check", "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_mistakes(command, run, faces, arguments, message):
    code, out, err = command("quality", run, *(word.format(faces=faces) for word in arguments))
    assert code == 2 and message.format(faces=faces) in out + err
