import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

from facemargin.errors import CheckpointError
from facemargin.interop.hub import download, weights_file
from tests.interop.fake_hub import COMMIT, FakeHub
from tests.interop.foreign_files import state

CLIENT = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import facemargin as fm
from facemargin.errors import FacemarginError
for line in sys.stdin:
    try:
        info = fm.load(line.strip()).info
        print(json.dumps([info.family, info.backbone, info.color_order]), flush=True)
    except FacemarginError as error:
        print(json.dumps(str(error)), flush=True)
"""


def write_cvlface(folder):
    (folder / "pretrained_model").mkdir(parents=True)
    (folder / "pretrained_model" / "model.yaml").write_text("color_space: BGR")
    (folder / "wrapper.py").write_text("raise SystemExit('never run')")
    (folder / "config.json").write_text("{}")
    torch.save(state("iresnet18", "net."), folder / "pretrained_model" / "model.pt")


@pytest.mark.slow
@pytest.mark.long
def test_repositories_are_loaded_from_a_hub_and_from_the_cache_without_one(tmp_path):
    write_cvlface(tmp_path / "hub" / "minchul" / "cvlface")
    several = tmp_path / "hub" / "someone" / "several"
    several.mkdir(parents=True)
    for name in ("a.pth", "b.pth"):
        torch.save(state("mobilefacenet"), several / name)
    (tmp_path / "hub" / "someone" / "empty").mkdir()
    hub = FakeHub(tmp_path / "hub")
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": ""}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip

    def load(location):
        client.stdin.write(f"{location}\n")
        client.stdin.flush()
        return json.loads(client.stdout.readline())

    try:
        cvlface = ["cvlface", "iresnet18", "BGR"]
        assert load("hf:minchul/cvlface") == cvlface
        got = [request for request in hub.requests if request.startswith("GET") and "/resolve/" in request]
        assert sorted(request.rsplit("/", 1)[1] for request in got) == ["model.pt", "model.yaml"]  # and no more
        assert load("hf:someone/several/b.pth") == ["insightface", "mobilefacenet", "RGB"]
        assert load(f"hf:minchul/cvlface@{COMMIT}") == cvlface
        assert any(request.endswith(f"/api/models/minchul/cvlface/revision/{COMMIT}") for request in hub.requests)
        assert "hf:someone/several contains several files" in load("hf:someone/several")
        assert "give one of a.pth, b.pth" in load("hf:someone/several")
        assert "holds no c.pth; its files: a.pth, b.pth" in load("hf:someone/several/c.pth")
        assert "hf:someone/empty holds no weights" in load("hf:someone/empty")
        assert "hf:someone/nothing does not exist, or is private" in load("hf:someone/nothing")
        assert "hf:someone/gated is gated: accept its terms" in load("hf:someone/gated")
        hub.close()
        assert load("hf:minchul/cvlface") == cvlface
        assert load(f"hf:minchul/cvlface@{COMMIT}") == cvlface
        assert "hf:minchul/cvlface@other cannot be reached" in load("hf:minchul/cvlface@other")
        assert load("hf:someone/several/b.pth") == ["insightface", "mobilefacenet", "RGB"]
        assert "cannot be reached" in load("hf:someone/unseen") and "is not in the cache" in load("hf:someone/unseen")
    finally:
        client.kill()
        with client:  # closes its pipes
            pass


@pytest.mark.parametrize(
    "location", ["hf:", "hf:name", "hf:owner/", "hf:/name", "hf:owner//file", "hf:owner/name@", "hf:owner/@main"]
)
def test_what_is_no_repository_is_named(location):
    with pytest.raises(CheckpointError, match="expected hf:owner/name or hf:owner/name/path/to/file"):
        download(location)


def test_names_that_the_hub_does_not_allow_are_named():
    with pytest.raises(CheckpointError, match="is not the name of a repository"):
        download("hf:--/..")


def test_a_copy_of_a_repository_says_which_file(tmp_path):
    write_cvlface(tmp_path / "copy")
    assert weights_file(tmp_path / "copy") == tmp_path / "copy" / "pretrained_model" / "model.pt"
    save_file({"a": torch.ones(1)}, tmp_path / "copy" / "model.safetensors")
    assert weights_file(tmp_path / "copy") == tmp_path / "copy" / "model.safetensors"
    (tmp_path / "empty").mkdir()
    assert weights_file(tmp_path / "empty") is None
    (tmp_path / "one").mkdir()
    torch.save({}, tmp_path / "one" / "backbone.pth")
    assert weights_file(tmp_path / "one") == tmp_path / "one" / "backbone.pth"


def test_what_systems_leave_is_no_weights(tmp_path):
    torch.save({}, tmp_path / "backbone.pth")
    (tmp_path / "._backbone.pth").write_bytes(b"\0\5\26\7")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "backbone.pth").write_bytes(b"x")
    assert weights_file(tmp_path) == tmp_path / "backbone.pth"
