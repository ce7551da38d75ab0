"""The examples in the docstrings of what `import facemargin as fm` gives, and `fm.evaluation`."""

import doctest
import inspect
import tempfile
from operator import attrgetter

import pytest

import facemargin as fm
from facemargin.evaluation.figures import METRICS

pytestmark = pytest.mark.usefixtures("few_resamples")

OPTIONS = doctest.ELLIPSIS
# Embed is the name of a type, which has no docstring of its own.
NAMES = [
    *(name for name in fm.__all__ if not inspect.ismodule(getattr(fm, name)) and name != "__version__"),
    *(f"evaluation.{name}" for name in fm.evaluation.__all__ if name != "Embed"),
]


def test_every_public_name_has_an_example():
    without = {name for name in NAMES if ">>>" not in (attrgetter(name)(fm).__doc__ or "")}
    assert without == set() and len(NAMES) > 60


@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what an example leaves goes with the test's folder
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))  # an example adds one
    (test,) = doctest.DocTestFinder(recurse=False).find(attrgetter(name)(fm), name, globs={})
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=said.append)
    assert result.attempted > 0 and result.failed == 0, "".join(said)
