import ast
from pathlib import Path

import pytest

import facemargin
from facemargin.backbones import SmallResNet, create_backbone
from facemargin.backbones.registry import _BACKBONES, register_backbone
from facemargin.data.formats.image_files import read_image_file
from facemargin.data.pairs.unlabeled import read_path_pairs
from facemargin.errors import (
    CheckpointError,
    ConfigError,
    CorruptImageError,
    DataError,
    FacemarginError,
    ImageError,
    NoFaceError,
    OutputError,
    SeveralFacesError,
)
from facemargin.files.atomic import write_text_atomically
from facemargin.files.yaml import read_yaml

PACKAGE = Path(facemargin.__file__).parent


def test_wrong_values_are_value_errors_and_files_are_not():
    assert issubclass(ConfigError, ValueError) and issubclass(DataError, ValueError)
    assert not issubclass(OutputError, ValueError | CheckpointError) and not issubclass(CheckpointError, ValueError)
    for cls in (CorruptImageError, NoFaceError, SeveralFacesError):
        assert issubclass(cls, ImageError) and issubclass(cls, DataError)
    assert not issubclass(NoFaceError, CorruptImageError) and not issubclass(SeveralFacesError, CorruptImageError)


def test_what_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/below\.txt"):
        write_text_atomically(tmp_path / "file" / "below.txt", "text")


# What is raised inside a try that takes ValueErrors for something else keeps its own words.
def test_an_error_of_ours_is_not_wrapped_a_second_time(tmp_path):
    (tmp_path / "a.png").mkdir()
    (tmp_path / "pairs.csv").write_text("a.png,b.png\nc.png\n")
    (tmp_path / "large.yaml").write_bytes(b"#" * 2_000_000)
    large, line = f"{tmp_path}/large.yaml has 2,000,000 bytes, ", f"{tmp_path}/pairs.csv line 2: expected `path1,path2`"
    for error, message, read in (
        (CorruptImageError, f"{tmp_path}/a.png: is not a file", lambda: read_image_file(tmp_path / "a.png")),
        (DataError, line, lambda: read_path_pairs(tmp_path / "pairs.csv")),
        (ConfigError, large, lambda: read_yaml(tmp_path / "large.yaml")),
    ):
        with pytest.raises(error) as raised:
            read()
        assert str(raised.value).startswith(message) and raised.value.__cause__ is None


def test_a_backbones_own_error_keeps_its_words():
    @register_backbone("refuses")
    class Refuses(SmallResNet):
        def __init__(self, embedding_size=512, in_channels=3, **options):
            raise ConfigError("embedding_size is wrong")

    try:
        with pytest.raises(ConfigError) as raised:
            create_backbone("refuses")
        assert str(raised.value) == "embedding_size is wrong"
    finally:
        del _BACKBONES._entries["refuses"]


def wrapped(source: str) -> list[int]:
    """Lines that raise an error of ours, which is a ValueError, inside a try that catches ValueErrors before it."""
    ours = {cls.__name__ for cls in _subclasses(FacemarginError) if issubclass(cls, ValueError)}
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Try):
            caught: set[str] = set()
            for handler in node.handlers:
                names = {
                    part.id
                    for part in ast.walk(handler.type or ast.Name("BaseException"))
                    if isinstance(part, ast.Name)
                }
                if "ValueError" in names and not caught & ours:
                    lines += [line for statement in node.body for line in _raises(statement, ours)]
                caught |= names
    return lines


def _subclasses(cls):
    return {cls}.union(*(_subclasses(sub) for sub in cls.__subclasses__()))


def _raises(tree, names):
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and getattr(node.exc.func, "id", "") in names:
            yield node.lineno


def test_no_try_takes_an_error_of_ours_for_another():
    found = [
        f"{path.relative_to(PACKAGE)}:{line}" for path in PACKAGE.rglob("*.py") for line in wrapped(path.read_text())
    ]
    assert found == []


def test_such_a_try_is_found():
    source = "try:\n    if x:\n        raise DataError('a')\nexcept {}(OSError, ValueError):\n    pass\n"
    assert wrapped(source.format("")) == [3]
    assert wrapped(source.format("DataError:\n    raise\nexcept ")) == []
