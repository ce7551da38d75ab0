"""Damaged files for every reader: none crashes, hangs, takes much memory, runs code or fails without naming the file.

FACEMARGIN_FUZZ=20000 tries so many inputs over all readers, FACEMARGIN_FUZZ_SEED=1 others than the usual ones.
"""

import os

import pytest

from tests.fuzz.fuzzing import fuzz
from tests.fuzz.readers_of_data import READERS as DATA
from tests.fuzz.readers_of_models import READERS as MODELS
from tests.fuzz.readers_of_pairs import READERS as PAIRS
from tests.fuzz.readers_of_results import READERS as RESULTS

READERS = [*DATA, *PAIRS, *MODELS, *RESULTS]
INPUTS = int(os.environ.get("FACEMARGIN_FUZZ", 0)) or 20 * len(READERS)
SEED = int(os.environ.get("FACEMARGIN_FUZZ_SEED", 0))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_damaged_files(reader, tmp_path):
    outcome = fuzz(reader, -(-INPUTS // len(READERS) // reader.slow), tmp_path, SEED)
    print(f"{reader.name}: {outcome.inputs} inputs, {outcome.read} read, {outcome.refused} refused")  # noqa: T201
    assert not outcome.failures, "\n\n".join(outcome.failures[:5])
