"""The runs of a comparison: every head with every seed; the rest of the recipe is the same in all runs."""

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
    """The heads in a text such as "adaface,magface:lambda_g=20:scale=32": each as it is written, with its recipe
    overrides.

    "all" stands for every registered margin. Raises ConfigError for an unknown margin, a setting without a value, a
    head that is named twice, and an empty text.
    """
    labels = list_margins() if text == "all" else [label.strip() for label in text.split(",") if label.strip()]
    if not labels:
        raise ConfigError(
            "--heads is empty: give names of margins (see `facemargin list`), such as --heads funface,adaface, or all"
        )
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
                raise ConfigError(f"--heads {label}: {setting!r} is not a setting, expected name=value")
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
    """One run for each head and each of `num_seeds` seeds, which count up from the recipe's seed. All heads run with
    one seed before the next seed starts, so that early results can be compared.

    Every head with a constant scale gets `scale`, unless its settings give another. If `data` is empty, the test sets
    are the recipe's validation sets. Raises ConfigError for unknown settings of the recipe or a head, and if there is
    no test set.
    """
    if any(argument.split("=")[0] == "--head.name" for argument in overrides):
        raise ConfigError("--head.name is given, but --heads chooses the heads: remove --head.name")
    mapping = read_yaml(recipe_path(recipe))
    settings = {
        label: [*overrides, *scale_of(head_settings[1], scale), *head_settings]
        for label, head_settings in heads.items()
    }
    first = recipe_from_mapping(mapping, recipe, next(iter(settings.values())))
    data = data or first.validation.data
    if not data:
        raise ConfigError("there is no test set: give at least one, such as --data orl:31-40")
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


def scale_of(name: str, scale: float | None) -> list[str]:
    """The override that sets the scale of the margin `name`; empty for a margin whose scale is the feature norm."""
    has_scale = any(field.name == "scale" for field in fields(margin_class(name).Config))
    return ["--head.scale", str(scale)] if scale is not None and has_scale else []
