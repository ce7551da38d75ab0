import getpass
import json
import socket
import sys

import torch

from facemargin.training.environment import environment
from facemargin.version import __version__


def test_versions_and_processor_are_told():
    told = environment()
    assert told["facemargin"] == __version__
    assert told["torch"] == torch.__version__ and told["threads"] == torch.get_num_threads()
    assert told["processor"] and told["cores"] >= 1
    assert told["date"].endswith("UTC")
    assert json.loads(json.dumps(told)) == told


def test_no_host_user_or_folder_is_told(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "secrethost")
    monkeypatch.setenv("USER", "secretuser")
    arguments = ["/home/secretuser/bin/facemargin", "train", "/home/secretuser/mine.yaml", "--data.train", "orl:1-3"]
    arguments += ["--output=/home/secretuser/runs/one", "--epochs", "3", "--description", "a/b = c"]
    monkeypatch.setattr(sys, "argv", arguments)
    told = environment()
    assert told["command"] == (
        "facemargin train mine.yaml --data.train orl:1-3 --output=one --epochs 3 --description a/b = c"
    )
    assert "secret" not in json.dumps(told)
    user = getpass.getuser()
    assert not [value for value in told.values() if user in str(value).split("/")]
