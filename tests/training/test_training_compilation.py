"""Compiled networks, with what dynamo traces, run without generating machine code, which takes minutes."""

import functools

import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.training import compilation
from facemargin.training.compilation import compiles
from facemargin.training.step import training_step
from tests.training.training_objects import random_batch, tiny_recipe, tiny_state, weights

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
# torch's own: its compiler looks at the gradient of every tensor that it meets.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")


@pytest.fixture
def traced(monkeypatch):
    """The numbers of images for which networks were compiled."""
    sizes = []

    def backend(graph, inputs):
        sizes.extend(len(one) for one in inputs if one.shape[1:] == (3, 16, 16))
        return graph

    compile_ = functools.partialmethod(torch.nn.Module.compile, backend=backend)
    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    return sizes


def test_what_the_field_means():
    for value in (True, False):
        assert compiles(tiny_recipe(compile=value), CPU, 1) is compiles(tiny_recipe(compile=value), CUDA, 1) is value
    automatic = tiny_recipe()
    assert automatic.compile == "auto"
    for images, pays in ((1_999_999, False), (2_000_000, True)):
        assert compiles(automatic, CUDA, images) is pays and not compiles(automatic, CPU, images)
        assert not compiles(tiny_recipe(deterministic=True), CUDA, images)
    with pytest.raises(ConfigError, match="compile is true and deterministic is true"):
        compiles(tiny_recipe(compile=True, deterministic=True), CUDA, 1)
    assert compiles(tiny_recipe(compile=True, deterministic=True), CPU, 1)
    with pytest.raises(ConfigError, match="compile is 'always', expected one of 'auto', True, False"):
        tiny_recipe(compile="always")


def test_compiled_steps_are_the_same_and_passes_of_another_size_are_not_compiled(traced):
    plain, compiled = tiny_state(), tiny_state(compile=True)
    for labels in ([0, 1, 2, 0, 1, 2, 0, 1], [0, 1, 2, 0, 1, 2, 0], [2, 1, 0, 0, 1, 2, 0, 1]):
        one, other = (training_step(state, random_batch(labels), 0.1) for state in (plain, compiled))
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
    assert set(traced) == {8}
    for key, value in weights(plain).items():
        torch.testing.assert_close(weights(compiled)[key], value, rtol=1e-4, atol=1e-5)


def test_where_the_compiler_fails_training_goes_on_without_it(monkeypatch, caplog):
    def backend(graph, inputs):
        raise OSError("no C compiler here")

    compile_ = functools.partialmethod(torch.nn.Module.compile, backend=backend)
    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    plain, compiled = tiny_state(), tiny_state(compile=True)
    for _ in range(2):
        one, other = (training_step(state, random_batch([0, 1, 2, 0] * 2), 0.1) for state in (plain, compiled))
        assert other == one
    for key, value in weights(plain).items():
        assert torch.equal(weights(compiled)[key], value), key
    (record,) = [one for one in caplog.records if one.name == compilation.__name__]
    assert record.message == "SmallResNet is not compiled, which is slower: OSError: no C compiler here"
