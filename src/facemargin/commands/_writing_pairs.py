"""The common part of `make-pairs` and `degrade`: the place and the format of the written verification set."""

from pathlib import Path

import numpy as np
from rich.console import Console

from facemargin.commands._origin import say_replaced
from facemargin.commands._progress import embedding_progress
from facemargin.commands._say import say
from facemargin.counting import counted
from facemargin.data.pairs.csv_list import write_pairs_folder
from facemargin.data.pairs.insightface_bin_writer import write_bin
from facemargin.data.pairs.verification_set import VerificationSet, contiguous_folds
from facemargin.errors import ConfigError


def check_output(output: Path) -> None:
    """Raise ConfigError, before any work starts, if the output is neither a new folder nor a .bin file."""
    if output.suffix == ".bin":
        if output.is_dir():
            raise ConfigError(f"--output {output} is a folder; expected a .bin file")
    elif output.suffix:
        raise ConfigError(f"--output is {output}, expected a name that ends in .bin, or a folder")
    elif output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise ConfigError(f"--output {output} exists already; give a new folder, or remove this one first")


def keeps_folds(output: Path, pairs: VerificationSet) -> bool:
    """Whether the format can store the folds of the set. A .bin file always has ten blocks of pairs."""
    expected_K = contiguous_folds(len(pairs))
    return output.suffix != ".bin" or (pairs.folds_K is not None and np.array_equal(pairs.folds_K, expected_K))


def write_pairs(pairs: VerificationSet, output: Path, doing: str) -> None:
    """Write the pairs as a .bin file or a folder, with a progress bar, and print a summary."""
    if output.suffix == ".bin":
        say_replaced(output)
    with embedding_progress(Console(stderr=True), pairs.name, doing) as progress:
        (write_bin if output.suffix == ".bin" else write_pairs_folder)(pairs, output, progress)
    people = "" if pairs.identities_N is None else f" of {counted(_num_people(pairs), 'person', 'people')}"
    say(f"{counted(len(pairs), 'pair')}, {int(pairs.same_K.sum()):,} of them genuine{people}; {output}")


def _num_people(pairs: VerificationSet) -> int:
    assert pairs.identities_N is not None
    return len(np.unique(pairs.identities_N[np.concatenate([pairs.first_K, pairs.second_K])]))
