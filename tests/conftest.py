"""Shared by all tests: threads are few, so that parallel test processes do not fight over two cores."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, settings

from facemargin.evaluation.metrics.bootstrap import DEFAULT_BOOTSTRAP
from tests.processes import forking

torch.set_num_threads(1)

# A busy machine is no reason to fail.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real faces and fixtures that are not part of the repository; tests that need them skip where they are absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder of real faces and fixtures beside the repository, which is absent")
    return folder


@pytest.fixture
def forked_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs of a comparison in this process are forked from one that has imported torch, instead of spawned."""
    monkeypatch.setattr(
        "facemargin.comparison.processes.multiprocessing", SimpleNamespace(get_context=lambda _: forking())
    )


@pytest.fixture(scope="module")
def few_resamples() -> Iterator[None]:
    """Intervals of 40 resamples where nobody says how many, for tests of what is done with them: 1000 take seconds."""
    usual = DEFAULT_BOOTSTRAP.resamples
    object.__setattr__(DEFAULT_BOOTSTRAP, "resamples", 40)  # the default argument of many functions
    yield
    object.__setattr__(DEFAULT_BOOTSTRAP, "resamples", usual)
