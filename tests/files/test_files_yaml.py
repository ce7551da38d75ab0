from dataclasses import dataclass, field
from typing import Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from facemargin.errors import ConfigError
from facemargin.files.yaml import from_mapping, read_yaml, to_yaml
from facemargin.training.recipe import load_recipe, recipe_from_mapping
from facemargin.training.recipe_files import list_recipes


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ConfigError(f"rate is {self.rate}, expected 0 or more")


@dataclass(frozen=True)
class Outer:
    count: int
    rate: float = 1.0
    enabled: bool = False
    text: str = ""
    kind: Literal["red", "blue"] = "red"
    bound: float | None = None
    choice: Literal["a", "b"] | None = None
    pair: tuple[float, int] = (0.0, 0)
    many: tuple[int, ...] = ()
    inner: Inner = field(default_factory=Inner)


def write(tmp_path, text):
    path = tmp_path / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def read(tmp_path, text):
    path = write(tmp_path, text)
    return from_mapping(Outer, read_yaml(path), str(path))


def test_every_type_is_read(tmp_path):
    text = """
        count: 3
        rate: 2
        enabled: true
        text: häuser
        kind: blue
        bound: 7
        choice: b
        pair: [1, 2]
        many: [3, 4, 5]
        inner: {rate: 5e-4, names: [x]}
    """
    assert read(tmp_path, text) == Outer(
        3, 2.0, True, "häuser", "blue", 7.0, "b", (1.0, 2), (3, 4, 5), Inner(5e-4, ("x",))
    )
    config = read(tmp_path, text)
    assert type(config.rate) is float and type(config.pair[0]) is float and type(config.bound) is float


def test_missing_fields_take_their_defaults(tmp_path):
    assert read(tmp_path, "count: 1") == Outer(1)
    assert read(tmp_path, "{count: 1, bound: null, choice: null}") == Outer(1)
    assert read_yaml(write(tmp_path, "")) == {}


def test_scientific_notation_without_a_point_is_a_number(tmp_path):
    assert yaml.safe_load("5e-4") == "5e-4"  # what this test guards against
    assert read(tmp_path, "{count: 1, rate: 5e-4}").rate == 5e-4
    assert read(tmp_path, "{count: 1, bound: 1E3}").bound == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{count: 1, rat: 2}", "unknown field 'rat'; did you mean 'rate'?"),
        ("{count: 1, inner: {rates: 2}}", "inner: unknown field 'rates'; did you mean 'rate'?"),
        ("{count: 1, 5: 2}", "unknown field '5'"),
        ("rate: 2", "field 'count' is missing"),
        ("count: 1.0", "count is 1.0, expected a whole number"),
        ("count: true", "count is True, expected a whole number"),
        ("count: '1'", "count is '1', expected a whole number"),
        ("count:", "count is None, expected a whole number"),
        ("{count: 1, enabled: 1}", "enabled is 1, expected true or false"),
        ("{count: 1, enabled: 'yes'}", "enabled is 'yes', expected true or false"),
        ("{count: 1, rate: true}", "rate is True, expected float"),
        ("{count: 1, rate: fast}", "rate is 'fast', expected a number"),
        ("{count: 1, rate: [1]}", r"rate is \[1\], expected float"),
        ("{count: 1, rate: 1" + "0" * 400 + "}", "expected a number"),
        ("{count: 1, text: 5}", "text is 5, expected a text"),
        ("{count: 1, text: 2024-01-01}", "text is datetime.date.*, expected a text"),
        ("{count: 1, kind: green}", "kind is 'green', expected one of 'red', 'blue'$"),
        ("{count: 1, kind: rad}", "kind is 'rad', expected one of 'red', 'blue'; did you mean 'red'"),
        ("{count: 1, choice: c}", "choice is 'c', expected one of 'a', 'b'"),
        ("{count: 1, bound: x}", "bound is 'x', expected a number"),
        ("{count: 1, pair: [1]}", "pair has 1 value, expected 2"),
        ("{count: 1, pair: 1}", "pair is 1, expected a list"),
        ("{count: 1, pair: [1, 2.5]}", r"pair\[1\] is 2.5, expected a whole number"),
        ("{count: 1, many: [1, x]}", r"many\[1\] is 'x', expected a whole number"),
        ("{count: 1, many: ab}", "many is 'ab', expected a list"),
        ("{count: 1, inner: 5}", "inner is 5, expected a mapping"),
        ("{count: 1, inner: }", "inner is None, expected a mapping"),
        ("{count: 1, inner: {rate: -1}}", "inner: rate is -1.0, expected 0 or more"),
        ("{count: 1, count: 2}", "'count' is given twice"),
        ("{count: 1, inner: {rate: 1, rate: 1}}", "'rate' is given twice"),
        ("{count: &a 1, rate: *a}", r"aliases \(\*name\) are not read"),
        ("{count: 1, [1, 2]: 3}", "a key is a list"),
        ("{count: 1, text: 2024-13-45}", "month must be in"),
        ("[" * 50_000, "some.yaml"),
        ("[1, 2]", "contains a list, expected a mapping"),
        ("{count: 1", "some.yaml"),
        ("!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        read(tmp_path, text)
    assert "some.yaml" in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        read_yaml(tmp_path / "none.yaml")
    (tmp_path / "long.yaml").write_text("a: 1\n" * 100_000)
    with pytest.raises(ConfigError, match=r"long\.yaml has 500,000 bytes, too many"):
        read_yaml(tmp_path / "long.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"text: \xff\xfe")
    with pytest.raises(ConfigError, match=r"bytes\.yaml"):
        read_yaml(tmp_path / "bytes.yaml")


# PyYAML writes the control character U+0085 as a line break.
plain_text = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x85"), max_size=20)
numbers = st.floats(allow_nan=False)
outers = st.builds(
    Outer,
    count=st.integers(),
    rate=numbers,
    enabled=st.booleans(),
    text=plain_text,
    kind=st.sampled_from(["red", "blue"]),
    bound=st.none() | numbers,
    choice=st.sampled_from([None, "a", "b"]),
    pair=st.tuples(numbers, st.integers()),
    many=st.lists(st.integers(), max_size=4).map(tuple),
    inner=st.builds(Inner, rate=numbers.filter(lambda rate: rate >= 0), names=st.lists(plain_text).map(tuple)),
)


@settings(max_examples=150, deadline=None)
@given(outers)
def test_any_config_reads_back_equal(tmp_path_factory, config):
    assert from_mapping(Outer, yaml.safe_load(to_yaml(config)), "yaml") == config
    path = tmp_path_factory.getbasetemp() / "round_trip.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert from_mapping(Outer, read_yaml(path), "file") == config


@pytest.mark.parametrize("name", list_recipes())
def test_every_packaged_recipe_reads_back_equal(name):
    recipe = load_recipe(name)
    again = recipe_from_mapping(yaml.safe_load(to_yaml(recipe)), "again")
    assert again == recipe
    assert to_yaml(again) == to_yaml(recipe)


@pytest.mark.parametrize("number", ["1_12", "010", "0x10", "0b11", "1:30", "+0o7", "1_0.5", "1:30.5", "1__0"])
@pytest.mark.parametrize("field", ["count", "rate"])
def test_numbers_that_yaml_reads_otherwise_than_people_are_refused(tmp_path, field, number):
    with pytest.raises(
        ConfigError,
        match=r"some\.yaml: .*(is ambiguous; write a number|expected a (whole )?number)",
    ):
        read(tmp_path, f"count: 1\n{field}: {number}\n" if field != "count" else f"count: {number}\n")


def test_plain_numbers_are_read(tmp_path):
    found = read(tmp_path, "count: 1_000_000\nrate: -1.5e+3\nbound: .5\nmany: [0, -7, +3]\ntext: '1_12'\n")
    assert (found.count, found.rate, found.bound, found.many, found.text) == (10**6, -1500, 0.5, (0, -7, 3), "1_12")


@dataclass(frozen=True)
class Numbered:
    version: Literal[1, 2] = 1


def test_true_is_no_number(tmp_path):
    with pytest.raises(ConfigError, match="version is True, expected one of 1, 2"):
        from_mapping(Numbered, read_yaml(write(tmp_path, "version: yes")), "it")
