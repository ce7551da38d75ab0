"""Which runs a comparison consists of: every head with every seed, the rest of the recipe alike."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from facemargin.comparison.run import ComparisonRun
from facemargin.errors import ConfigError
from facemargin.files.yaml import read_yaml
from facemargin.margins import list_margins, margin_class
from facemargin.training.recipe import recipe_from_mapping
from facemargin.training.recipe_files import recipe_path


def parse_heads(text: str) -> dict[str, list[str]]:
    """The heads in "adaface,magface:lambda_g=20:scale=32", each as written, with the recipe overrides that make it.

    "all" is every registered margin. Raises ConfigError for an unknown margin, a setting without a value, a head that
    is named twice, and none at all.
    """
    labels = list_margins() if text == "all" else [label.strip() for label in text.split(",") if label.strip()]
    if not labels:
        raise ConfigError("--heads is empty: name margins of `facemargin list`, as in --heads funface,adaface, or all")
    heads = {}
    for label in labels:
        name, *settings = label.split(":")
        margin_class(name)
        if label in heads:
            raise ConfigError(f"--heads names {label} twice")
        heads[label] = ["--head.name", name]
        for setting in settings:
            field, equals, value = setting.partition("=")
            if not (field and equals and value):
                raise ConfigError(f"--heads {label}: {setting!r} is no setting, expected name=value")
            heads[label] += [f"--head.{field}", value]
    return heads


def plan_runs(
    recipe: str,
    overrides: Sequence[str],
    heads: Mapping[str, Sequence[str]],
    num_seeds: int,
    scale: float | None,
    data: Sequence[str],
    output: Path,
    threads: int,
) -> list[ComparisonRun]:
    """A run for each head and each of `num_seeds` seeds, from the recipe's own on; all heads with a seed before the
    next seed, so that an early look compares like with like.

    `scale` is given to every head with a constant one, unless the head's own settings say otherwise; without `data`
    the test sets are the recipe's validation sets. Raises ConfigError for anything that the recipe or the heads do not
    know, and where there is no test set.
    """
    if any(argument.split("=")[0] == "--head.name" for argument in overrides):
        raise ConfigError("--heads chooses the heads: leave --head.name out")
    mapping = read_yaml(recipe_path(recipe))
    settings = {label: [*overrides, *_scale_of(own[1], scale), *own] for label, own in heads.items()}
    first = recipe_from_mapping(mapping, recipe, next(iter(settings.values())))
    data = data or first.validation.data
    if not data:
        raise ConfigError("no test set: name at least one, as in --data orl:31-40")
    return [
        ComparisonRun(
            head=label,
            seed=seed,
            folder=output / label.replace(":", ",") / f"seed_{seed}",
            recipe=mapping,
            where=recipe,
            overrides=[*settings[label], "--seed", str(seed)],
            data=data,
            threads=threads,
        )
        for seed in range(first.seed, first.seed + num_seeds)
        for label in heads
    ]


def _scale_of(name: str, scale: float | None) -> list[str]:
    """The override that gives the margin `name` this scale; none for one whose scale is the feature norm."""
    has_scale = any(field.name == "scale" for field in fields(margin_class(name).Config))
    return ["--head.scale", str(scale)] if scale is not None and has_scale else []
