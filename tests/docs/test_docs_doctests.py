"""The examples in the docstrings of what `import facemargin as fm` gives."""

import doctest
import inspect

import pytest

import facemargin as fm

OPTIONS = doctest.ELLIPSIS
NAMES = [name for name in fm.__all__ if not inspect.ismodule(getattr(fm, name)) and name != "__version__"]


def test_every_public_name_has_an_example():
    without = {name for name in NAMES if ">>>" not in (getattr(fm, name).__doc__ or "")}
    assert without == set() and len(NAMES) > 30


@pytest.mark.parametrize("name", NAMES)
def test_the_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(fm, name), name, globs={})
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False).run(test, out=said.append)
    assert result.attempted > 0 and result.failed == 0, "".join(said)
