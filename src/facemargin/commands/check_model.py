"""`facemargin check-model MODEL --pairs SET`: does the model read the colours and pixels that it says it does?

Shapes: K pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.open import open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSubset
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import evaluate_verification
from facemargin.interop.family import FamilyName
from facemargin.interop.input_check import InputCheck, compare_inputs
from facemargin.models.info import ModelInfo
from facemargin.models.load import load
from facemargin.models.model import Model
from facemargin.tables import Table

_NORMALIZATIONS = ((127.5, 127.5), (0.0, 255.0), (0.0, 1.0))
_LEVEL = 0.01


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Score a model on pairs with its colours in the order it declares and in the other, and with the usual
    normalisations; warns where another way is better by more than chance."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Anything that `facemargin evaluate` takes as a model."""
    pairs: Annotated[str, tyro.conf.arg(metavar="SET")]
    """A verification set in colour, by path or name."""
    limit: int = 2000
    """Pairs to use, as many genuine ones as impostors, spread over the set; 0 for all."""
    family: FamilyName | None = None
    """Whose checkpoint it is, where that cannot be told from it."""
    trust: bool = False
    """Run the code that a pickle holds. Only for files of people you trust."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "check-model", arguments)
    if args.limit < 0:
        raise ConfigError(f"--limit is {args.limit}, expected a number of pairs, or 0 for all")
    console = Console()
    model = load(args.model, family=args.family, trust=args.trust)
    one = balanced_part(open_verification(args.pairs), args.limit)
    scores: dict[str, np.ndarray] = {}
    for name, info in _variants(model.info).items():
        variant = Model(model.recognizer, info, model.device)
        with embedding_progress(console, f"{one.name} as {name}") as progress:
            embed = lambda images, v=variant, p=progress: v.embed(images, views="one", progress=p)  # noqa: E731
            scores[name] = evaluate_verification(embed, one, name).scores_K
    declared, *others = scores
    checks = [compare_inputs(scores[declared], scores[name], one.same_K) for name in others]
    console.print(_table(declared, others, checks, len(one)))
    for name, check in zip(others, checks, strict=True):
        if check.probability_of_chance < _LEVEL and check.other > check.declared:
            say(
                f"the model declares {declared}, but {name} recognises better: {check.other:.2%} "
                f"against {check.declared:.2%} of {counted(len(one), 'pair')} (chance: p = "
                f"{check.probability_of_chance:.1g}). Load it with color_order=, or convert it with --color-order or "
                "another --family",
                label="warning",
            )
    if np.array_equal(scores[declared], scores[others[0]]):
        console.print("the pictures are grey: they cannot tell the colour order; take a set in colour")
    return 0


def balanced_part(one: VerificationSet, limit: int) -> VerificationSet:
    """At most `limit` pairs of a set, evenly spread, as many genuine as impostors; 0 for as many as there are."""
    kinds = [np.flatnonzero(one.same_K), np.flatnonzero(~one.same_K)]
    count = min(len(kind) for kind in kinds)
    if limit:
        count = min(count, max(limit // 2, 1))
    if count == 0:
        raise DataError(f"{one.name} has no pairs of both kinds, genuine and impostor")
    chosen = np.sort(np.concatenate([kind[np.linspace(0, len(kind) - 1, count).astype(int)] for kind in kinds]))
    used, index = np.unique(np.concatenate([one.first_K[chosen], one.second_K[chosen]]), return_inverse=True)
    return VerificationSet(
        name=one.name,
        images=ImageSubset(one.images, used),
        first_K=index[: len(chosen)].astype(np.int64),
        second_K=index[len(chosen) :].astype(np.int64),
        same_K=one.same_K[chosen],
    )


def _variants(info: ModelInfo) -> dict[str, ModelInfo]:
    """How the model may be fed: as it declares, with the other colour order, and with each other normalisation."""
    other: Literal["RGB", "BGR"] = "BGR" if info.color_order == "RGB" else "RGB"
    found = [info, replace(info, color_order=other)]
    found += [replace(info, mean=m, std=s) for m, s in _NORMALIZATIONS if (m, s) != (info.mean, info.std)]
    return {f"{one.color_order}, (v − {one.mean:g})/{one.std:g}": one for one in found}


def _table(declared: str, others: Sequence[str], checks: Sequence[InputCheck], count: int) -> Table:
    table = Table(
        "input", "accuracy", "against the declared", title=f"{counted(count, 'pair')}, at each way's best threshold"
    )
    table.add_row(f"{declared} (declared)", f"{checks[0].declared:.2%}", "")
    for name, check in zip(others, checks, strict=True):
        verdict = "alike within chance"
        if check.probability_of_chance < _LEVEL:
            verdict = "better" if check.other > check.declared else "worse"
        table.add_row(name, f"{check.other:.2%}", f"{verdict} (p = {check.probability_of_chance:.2g})")
    return table
