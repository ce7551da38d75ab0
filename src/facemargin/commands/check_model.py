"""`facemargin check-model MODEL --pairs SET`: tests whether the model gets the colours and pixel values that it
expects.

Shapes: K pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console

from facemargin.commands._arguments import parse
from facemargin.commands._device import ComputingArguments, load_on_device
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.images.normalization import IMAGENET_MEAN, IMAGENET_STD, PerChannel, normalization_text
from facemargin.data.open import open_verification
from facemargin.data.pairs.verification_set import VerificationSet
from facemargin.data.source import ImageSubset
from facemargin.data.squareness import SquashingTold, warn_of_squashed
from facemargin.errors import ConfigError, DataError
from facemargin.evaluation import evaluate_verification
from facemargin.interop.input_check import InputCheck, compare_inputs
from facemargin.models.info import ModelInfo
from facemargin.models.model import Model
from facemargin.tables import Table

_NORMALIZATIONS = ((127.5, 127.5), (0.0, 255.0), (0.0, 1.0), (IMAGENET_MEAN, IMAGENET_STD))


@dataclass(frozen=True, kw_only=True)
class Arguments(ComputingArguments):
    """Score a model on pairs with its declared colour order and with the other one, and with the usual normalisations.
    Warns if another input is better by more than chance."""

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """Anything that `facemargin evaluate` takes as a model."""
    pairs: Annotated[str, tyro.conf.arg(metavar="SET")]
    """A verification set in colour, by path or name."""
    limit: int = 2000
    """The number of pairs to use, half of them genuine, spread over the set. 0 uses all."""
    trust: bool = False
    """Allow a pickle to run its code. Only for files of people you trust."""


def main(arguments: Sequence[str]) -> int:
    args = parse(Arguments, "check-model", arguments)
    if args.limit < 0:
        raise ConfigError(f"--limit is {args.limit}, expected a number of pairs, or 0 for all")
    console = Console()
    model = load_on_device(args.model, args, args.trust)
    pairs = balanced_part(open_verification(args.pairs), args.limit)
    warn_of_squashed(pairs.images)
    pairs = replace(pairs, images=SquashingTold(pairs.images))
    scores: dict[str, np.ndarray] = {}
    for name, info in _variants(model.info).items():
        variant = Model(model.recognizer, info, model.device, model.precision)
        with embedding_progress(console, f"{pairs.name} as {name}") as progress:
            embed = lambda images, v=variant, p=progress: v.embed(images, views="one", progress=p)  # noqa: E731
            scores[name] = evaluate_verification(embed, pairs, name).scores_K
    declared, *others = scores
    checks = [compare_inputs(scores[declared], scores[name], pairs.same_K) for name in others]
    console.print(_table(declared, others, checks, len(pairs)))
    for name, check in zip(others, checks, strict=True):
        if check.better == "other":
            say(
                f"the model declares {declared}, but {name} recognises better: {check.other:.2%} "
                f"against {check.declared:.2%} of {counted(len(pairs), 'pair')} (chance: p = "
                f"{check.probability_of_chance:.1g}). Give the right input with --color, --mean and --std, or another "
                "--family",
                label="warning",
            )
    if np.array_equal(scores[declared], scores[others[0]]):
        console.print("the pictures are grey, so the colour order cannot be tested: use a set with colour pictures")
    else:
        say("colours: " + verdict(model.info.color_order, [_other_order(model.info)], checks[:1]))
    pixels, *other_pixels = [name.partition(", ")[2] for name in (declared, *others[1:])]
    say("pixels: " + verdict(pixels, other_pixels, checks[1:]))
    return 0


def verdict(declared: str, others: Sequence[str], checks: Sequence[InputCheck]) -> str:
    """In words: which is right of what is `declared` and the `others`, by the check against each."""
    better = [(check.other, name) for name, check in zip(others, checks, strict=True) if check.better == "other"]
    if better:
        return f"{max(better)[1]}, surely: with {declared}, as declared, the model recognises worse"
    unclear = {name: check.pairs_needed() for name, check in zip(others, checks, strict=True) if not check.better}
    if not unclear:
        return f"{declared}, surely: with {' and '.join(others)} the model recognises worse"
    cannot = f"{counted(checks[0].pairs, 'pair')} cannot tell {declared} from {' and '.join(unclear)}"
    known = [needed for needed in unclear.values() if needed is not None]
    if len(known) < len(unclear):
        return f"{cannot}: to this model it makes hardly a difference"
    return f"{cannot}; use at least {max(known):,}"


def balanced_part(pairs: VerificationSet, limit: int) -> VerificationSet:
    """At most `limit` pairs of a set, evenly spread, half of them genuine. 0 means as many as possible."""
    kinds = [np.flatnonzero(pairs.same_K), np.flatnonzero(~pairs.same_K)]
    count = min(len(kind) for kind in kinds)
    if limit:
        count = min(count, max(limit // 2, 1))
    if count == 0:
        raise DataError(f"{pairs.name} does not have both genuine and impostor pairs")
    chosen = np.sort(np.concatenate([kind[np.linspace(0, len(kind) - 1, count).astype(int)] for kind in kinds]))
    used, index = np.unique(np.concatenate([pairs.first_K[chosen], pairs.second_K[chosen]]), return_inverse=True)
    return VerificationSet(
        name=pairs.name,
        images=ImageSubset(pairs.images, used),
        first_K=index[: len(chosen)].astype(np.int64),
        second_K=index[len(chosen) :].astype(np.int64),
        same_K=pairs.same_K[chosen],
    )


def _other_order(info: ModelInfo) -> str:
    return "BGR" if info.color_order == "RGB" else "RGB"


def _variants(info: ModelInfo) -> dict[str, ModelInfo]:
    """The possible inputs of the model: as declared, with the other colour order, and with each of the other
    normalisations, whose numbers belong to colours."""
    variants = [info, replace(info, color_order=_other_order(info))]
    known = [(_in_order(mean, info), _in_order(std, info)) for mean, std in _NORMALIZATIONS]
    variants += [replace(info, mean=m, std=s) for m, s in known if (m, s) != (info.mean, info.std)]
    return {f"{variant.color_order}, {normalization_text(variant.mean, variant.std)}": variant for variant in variants}


def _in_order(value: PerChannel, info: ModelInfo) -> PerChannel:
    """Numbers of red, green and blue in the order of the network's channels."""
    return value[::-1] if isinstance(value, tuple) and info.color_order == "BGR" else value


def _table(declared: str, others: Sequence[str], checks: Sequence[InputCheck], count: int) -> Table:
    table = Table(
        "input", "accuracy", "against the declared", title=f"{counted(count, 'pair')}, at each way's best threshold"
    )
    table.add_row(f"{declared} (declared)", f"{checks[0].declared:.2%}", "")
    for name, check in zip(others, checks, strict=True):
        against = {"": "alike within chance", "other": "better", "declared": "worse"}[check.better]
        table.add_row(name, f"{check.other:.2%}", f"{against} (p = {check.probability_of_chance:.2g})")
    return table
