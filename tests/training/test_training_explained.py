"""Every option says what it is, and a mistyped one what was meant."""

from dataclasses import dataclass, fields, is_dataclass
from typing import get_type_hints

import pytest

from facemargin.backbones import list_backbones
from facemargin.commands._verbs import VERBS, arguments_class
from facemargin.errors import ConfigError
from facemargin.margins import list_margins
from facemargin.training.config import Recipe
from facemargin.training.explained import as_class, explained, field_help
from facemargin.training.options import Option, check_options, options_of
from facemargin.training.recipe import backbone_config_class, head_config_class, load_recipe
from facemargin.training.recipe_files import list_recipes


def without_words(cls, prefix=""):
    """The fields, and those of the dataclasses in it, that say nothing of themselves."""
    hints, words = get_type_hints(cls), field_help(cls)
    missing = []
    for item in fields(cls):
        if is_dataclass(hints[item.name]):
            missing += without_words(hints[item.name], f"{prefix}{item.name}.")
        elif len(words.get(item.name, "").split()) < 2:
            missing.append(prefix + item.name)
    return missing


@pytest.mark.parametrize("name", list_recipes())
def test_every_field_of_a_recipe_says_what_it_is(name):
    assert without_words(type(load_recipe(name))) == []


@pytest.mark.parametrize("name", list_margins())
def test_every_setting_of_a_margin_says_what_it_is(name):
    assert without_words(head_config_class(name)) == []


@pytest.mark.parametrize("name", list_backbones())
def test_every_option_of_a_network_says_what_it_is(name):
    assert without_words(backbone_config_class(name)) == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_of_a_verb_says_what_it_is(verb):
    assert without_words(arguments_class(verb)) == []


def test_a_field_without_words_is_found():
    @dataclass(frozen=True, kw_only=True)
    class Bare:
        said: int = 1
        """What it is."""
        unsaid: int = 1

    assert without_words(Bare) == ["unsaid"]


def test_the_words_are_the_nearest_classs():
    assert "share of q" in field_help(head_config_class("funface"))["mixing_factor"]
    assert "keeps CR" in field_help(head_config_class("funface"))["epsilon"]
    assert "CR" not in field_help(head_config_class("adaface"))["epsilon"]


@pytest.mark.parametrize("name", ["demo", "reconstruction", "magface_ms1mv2"])
def test_an_explained_recipe_is_the_same_recipe(name):
    recipe = load_recipe(name)
    shown = as_class(recipe, explained(type(recipe), flags=False))
    assert shown != recipe and as_class(shown, type(recipe)) == recipe
    assert load_recipe(name, ["--epochs", str(recipe.epochs)]) == recipe


OPTIONS = [
    *options_of(Recipe, flags=False),
    Option(("--head.margin",)),
    Option(("--output",)),
]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "3"], r"unknown option --lr; did you mean --optimizer\.learning-rate\?"),
        (["--learning_rate=3"], r"--learning-rate; did you mean --optimizer\.learning-rate\?"),
        (["--weight-decay", "3"], r"did you mean --optimizer\.weight-decay\?"),
        (["--every-steps", "3"], r"did you mean --checkpoint\.every-steps or --logging\.every-steps\?"),
        (["--margin", "0.3"], r"did you mean --head\.margin\?"),
        (["--epoch", "3"], "did you mean --epochs"),
        (["--batchsize", "3"], "did you mean --batch-size"),
        (["--optimizer.lerning-rate", "3"], r"did you mean --optimizer\.learning-rate"),
        (["--xyzzy", "3"], "unknown option --xyzzy; all are there"),
        (["--optimizer.name", "sdg"], r"--optimizer\.name is sdg; did you mean sgd\? It may be sgd, adamw"),
        (["--precision=half"], "--precision is half; it may be auto, float64"),
        (["--compile", "yes"], "--compile is yes; it may be auto, True, False"),
    ],
)
def test_what_is_mistyped_names_what_was_meant(arguments, message):
    with pytest.raises(ConfigError, match=message):
        check_options(arguments, OPTIONS, "all are there")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "3", "--optimizer.learning_rate=0.1", "--precision", "bf16"],
        ["--head.center-initialization", "None"],
        ["--schedule.final", "-1", "-h", "--help", "--tyro-print-completion", "bash"],
        ["--precision", "--epochs", "3"],
        ["a", "--output", "b"],
    ],
)
def test_what_is_right_passes(arguments):
    assert check_options(arguments, OPTIONS, "") is None


def test_help_shows_no_none(capsys):
    with pytest.raises(SystemExit):
        load_recipe("funface_ms1mv3", ["--help"])
    out = capsys.readouterr().out
    assert "--head.certainty-ratio-bound FLOAT" in out and "--head.center-initialization {unit,normal}" in out
    assert "None" not in out and "(default: )" not in out
    assert load_recipe("demo", ["--head.center-initialization", "None"]).head.center_initialization is None
