"""What `list` and the completion look up is what the code says."""

import pytest

import facemargin.backbones
from facemargin.backbones import BackboneInfo, describe_backbone, list_backbones
from facemargin.commands._catalogue import make_catalogue, read_catalogue, stored_catalogue
from facemargin.training.recipe import load_recipe
from facemargin.training.recipe_files import list_recipes, summarize_recipe

OUT_OF_DATE = "out of date: run `python -m facemargin.commands._catalogue` and commit what it writes"


def listed(name):
    return BackboneInfo(name, 512, **read_catalogue()["backbones"].get(name, dict.fromkeys(FIGURES, 0)))


FIGURES = ("input_size", "parameters", "multiply_adds")


def test_it_says_what_the_code_says(monkeypatch):
    # The networks' figures, which take a while, are the next test's.
    monkeypatch.setattr(facemargin.backbones, "describe_backbone", listed)
    catalogue = make_catalogue()
    for part, content in stored_catalogue().items():
        assert content == catalogue.pop(part), f"{part} is {OUT_OF_DATE}"
    assert not catalogue, OUT_OF_DATE


@pytest.mark.slow
@pytest.mark.parametrize("name", list_backbones())
def test_the_figures_are_those_of_the_networks(name):
    assert describe_backbone(name) == listed(name), OUT_OF_DATE


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipes_summary_is_what_the_recipe_says(name):
    summary, recipe = summarize_recipe(name), load_recipe(name)
    assert (summary.description, summary.backbone) == (recipe.description, recipe.backbone.name)
    assert summary.head == ("" if recipe.reconstruction.mode == "alone" else recipe.head.name)
