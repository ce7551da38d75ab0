"""`facemargin models`, `facemargin models NAME …` and `facemargin models get NAME …`: released recognisers."""

from collections.abc import Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Column, Table

from facemargin.commands._arguments import parse
from facemargin.commands._say import say
from facemargin.errors import ConfigError
from facemargin.interop.released import RELEASED, ReleasedModel, is_here, released_file

_COMMERCIAL = {"yes": "allowed", "no": "not allowed", "unknown": "unknown"}


@dataclass(frozen=True)
class Arguments:
    """List the released recognisers that can be loaded by name. Their names can be given wherever a MODEL is expected.

    `facemargin models NAME` tells all that is known of one, `facemargin models get NAME` fetches its file."""

    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """Nothing for the list; names of models for what is known of each; or the word get and the names of those to
    fetch."""


def main(arguments: Sequence[str]) -> int:
    words = parse(Arguments, "models", arguments).words
    if words[:1] == ("get",):
        if len(words) == 1:
            raise ConfigError(f"the name is missing: facemargin models get {RELEASED.names()[0]}")
        for model in [RELEASED[name] for name in words[1:]]:
            say(f"{model.name}: {released_file(model.name, say)}")
            say(f"licence: {model.licence}")
        return 0
    if words:
        for model in [RELEASED[name] for name in words]:
            _describe(model)
        return 0
    Console().print(_table())
    return 0


def _table() -> Table:
    table = Table(
        Column("model", no_wrap=True),
        Column("network", no_wrap=True),
        Column("trained on", min_width=13),
        "for business",
        Column("", no_wrap=True),
        title="released models",
        caption=(
            "facemargin models NAME: all that is known of one, with its licence and published figures.\n"
            "facemargin models get NAME: fetch it. In the last column: by hand, see its page; not run: facemargin does "
            "not have its network."
        ),
        caption_justify="left",
    )
    for name in RELEASED.names():
        model = RELEASED[name]
        table.add_row(name, model.network.partition(",")[0], model.trained_on, model.commercial_use, _to_be_had(model))
    return table


def _to_be_had(model: ReleasedModel) -> str:
    if not model.runs:
        return "not run"
    if is_here(model):
        return "here"
    if model.sources:
        return "get"
    return "by hand"


def _how(model: ReleasedModel) -> str:
    how = _to_be_had(model)
    if how == "get":
        return f"facemargin models get {model.name}"
    return f"{how}: {model.page}" if model.page else how


def _describe(model: ReleasedModel) -> None:
    facts = {
        "what it is": model.title,
        "network": model.network,
        "trained on": model.trained_on,
        "reads": model.color_order or "what its file says, or its family",
        "published figures": model.published,
        "measured here": model.checked,
        "licence": model.licence,
        "commercial use": _COMMERCIAL[model.commercial_use],
        "size": model.megabytes,
        "sha256": model.sha256 or "unknown",
        "to be had": _how(model),
    }
    table = Table("", Column("", overflow="fold"), show_header=False, title=model.name)
    for name, value in facts.items():
        table.add_row(name, value)
    for number, source in enumerate(model.sources):
        table.add_row("" if number else "where it is from", str(source))
    for number, reference in enumerate(model.references):
        table.add_row("" if number else "who says so", reference)
    Console().print(table)
