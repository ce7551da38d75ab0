import re

import pytest

from facemargin.interop import RELEASED
from facemargin.interop.released import released_file


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


@pytest.mark.parametrize("columns", ["80", "200"])
def test_every_model_has_a_row(command, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    code, out, err = command("models")
    assert (code, err) == (0, "")
    shown = {line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")} - {""}
    assert shown == set(RELEASED.names())
    assert max(map(len, out.splitlines())) <= int(columns) and "…" not in out
    assert "facemargin models get NAME" in " ".join(out.split())


@pytest.mark.parametrize("columns", ["80", "200"])
def test_all_that_is_known_of_one_is_told(command, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    code, out, err = command("models", "sface")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= int(columns) and "…" not in out
    shown = "".join(re.sub("[│ \n]", "", out))
    model = RELEASED["sface"]
    for text in (model.title, model.licence, model.published, model.sha256, *model.references):
        assert text.replace(" ", "") in shown


def test_a_model_is_fetched_and_its_licence_said(command):
    code, out, _ = command("models", "get", "sface")
    assert code == 0
    assert out == f"sface: {released_file('sface')}\nlicence: {RELEASED['sface'].licence}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sfcae"], "unknown released model 'sfcae'; did you mean 'sface'?"),
        (["get", "sfcae"], "unknown released model 'sfcae'; did you mean 'sface'?"),
        (["get"], "the name is missing: facemargin models get "),
    ],
)
def test_a_wrong_name_is_said(command, arguments, message):
    code, _, err = command("models", *arguments)
    assert code == 2 and message in err
