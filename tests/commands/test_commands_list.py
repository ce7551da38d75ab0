import pytest

from facemargin import plugins
from facemargin.backbones import list_backbones
from facemargin.commands._catalogue import read_catalogue
from facemargin.commands.list import KINDS
from facemargin.data.formats.data_format import FORMATS
from facemargin.data.pairs.pair_format import PAIR_FORMATS
from facemargin.detection import list_detectors
from facemargin.evaluation.figures import METRICS
from facemargin.evaluation.protocols.known import list_protocols
from facemargin.features.measures import list_measures
from facemargin.interop import FAMILIES, RELEASED
from facemargin.margins import list_margins
from facemargin.training.recipe_files import list_recipes

NAMES = {
    "margins": list_margins(),
    "backbones": list_backbones(),
    "recipes": list_recipes(),
    "protocols": list_protocols(),
    "metrics": METRICS.names(),
    "formats": FORMATS.names(),
    "pair_formats": PAIR_FORMATS.names(),
    "families": FAMILIES.names(),
    "models": RELEASED.names(),
    "detectors": list_detectors(),
    "measures": list_measures(),
}


def test_everything_that_plugins_add_is_listed():
    elsewhere = {"verbs", "writers"}  # in --help, and beside the formats
    assert set(plugins.KINDS) - elsewhere < set(NAMES) and set(NAMES) - set(plugins.KINDS) == {"recipes"}
    assert ("all", *NAMES) == KINDS


def names_shown(out):
    """What stands in the first column of the tables."""
    return {line.split("│")[1].strip() for line in out.splitlines() if line.startswith("│")} - {""}


@pytest.mark.parametrize("kind", NAMES)
def test_a_kind_shows_its_own(command, kind):
    code, out, _ = command("list", kind)
    assert code == 0
    assert names_shown(out) == set(NAMES[kind])
    assert command("list", "--kind", kind)[1] == out


@pytest.mark.parametrize("columns", ["80", "200"])
def test_everything_is_shown_by_default(command, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    out = command("list")[1]
    assert names_shown(out) == {name for names in NAMES.values() for name in names}
    assert "mixing_factor=0.1" in out and "FunFace" in out
    assert command("list", "all")[1] == out


def test_sizes_are_those_of_the_networks(command):
    (line,) = [line for line in command("list", "backbones")[1].splitlines() if " ir_50 " in line]
    assert "112 px" in line and "43.6 M" in line


@pytest.mark.parametrize("columns", ["80", "200"])
def test_nothing_is_cut(command, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    out = command("list")[1]
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= int(columns)
    for setting in (setting for entry in read_catalogue()["margins"].values() for setting in entry["settings"]):
        assert setting in out


def test_another_kind_is_refused(command):
    code, out, err = command("list", "losses")
    assert code == 2 and "backbones" in out + err
