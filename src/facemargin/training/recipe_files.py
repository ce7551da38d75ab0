"""Which recipes there are, and what their files say of themselves, without what building one imports."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from facemargin.errors import ConfigError
from facemargin.files.yaml import read_yaml
from facemargin.registry import unknown_name


@dataclass(frozen=True)
class RecipeSummary:
    """What a recipe's file says of it: its words, its margin, "" where it trains no recogniser, and its network."""

    name: str
    description: str
    head: str
    backbone: str


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    folder = resources.files("facemargin.recipes")
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def recipe_path(name_or_path: str) -> Path:
    """The YAML file that a recipe's name or path means; ConfigError if there is none."""
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise ConfigError(f"there is no recipe file {path}")
        return path
    if name_or_path not in list_recipes():
        raise ConfigError(f"{unknown_name('recipe', name_or_path, list_recipes())} (the name of a file ends in .yaml)")
    return Path(str(resources.files("facemargin.recipes") / f"{name_or_path}.yaml"))


def summarize_recipe(name: str) -> RecipeSummary:
    """The summary of a recipe that comes with the package."""
    mapping = read_yaml(recipe_path(name))
    head = mapping.get("head", {}).get("name", "")
    return RecipeSummary(name, mapping["description"], head, mapping["backbone"]["name"])
