"""Networks compiled by torch.compile where that pays, and computed eagerly where it cannot be done."""

import contextlib
import logging
from typing import Any

import torch
from torch import nn

from facemargin.errors import ConfigError
from facemargin.training.config import Recipe

# From how many images of a process on `compile: auto` compiles on a GPU. An H100 trains IR-50 in bf16 on 5,150 images/s
# compiled and on 4,080 eagerly, and compiling takes 96 s: it has paid after 1.9 million images.
_PAYS_AFTER = 2_000_000

logger = logging.getLogger(__name__)


def compiles(recipe: Recipe, device: torch.device, images: int) -> bool:
    """Whether the networks of a recipe are compiled on this device, which is to train on so many images. ConfigError
    where they could not be the same in every run, as the recipe wants them."""
    on_cuda = device.type == "cuda"
    if recipe.compile is True and recipe.deterministic and on_cuda:
        raise ConfigError(
            "compile is true and deterministic is true, but the compiler chooses its kernels by timing them, so that "
            "two runs may differ: set one of them to false"
        )
    if recipe.compile == "auto":
        return on_cuda and images >= _PAYS_AFTER and not recipe.deterministic
    return recipe.compile


def compile_network(network: nn.Module, rows: int) -> None:
    """From now on calls of `network` whose first argument has `rows` rows run compiled code, forward and backward.

    Others (a pass that corrupt images have made shorter) run eagerly: compiling takes a minute or more for every size.
    Where the compiler fails, all calls do, with one warning.
    """
    network.compile(dynamic=False)
    compiled: Any = network._compiled_call_impl

    def call(*arguments: Any) -> Any:
        if len(arguments[0]) == rows and network._compiled_call_impl is not None:
            try:
                with _backward_compiled_with_forward():
                    return compiled(*arguments)
            except torch._dynamo.exc.TorchDynamoException as error:
                logger.warning("%s is not compiled, which is slower: %s", type(network).__name__, _reason(error))
                network._compiled_call_impl = None
        return network._call_impl(*arguments)

    network._compiled_call_impl = call


def _backward_compiled_with_forward() -> contextlib.AbstractContextManager[Any]:
    """So that all that can fail fails before anything has been computed. (By default backward is compiled when it is
    first run.)"""
    import torch._functorch.config as settings  # takes a second

    name = "force_non_lazy_backward_lowering"
    return settings.patch({name: True}) if hasattr(settings, name) else contextlib.nullcontext()


def _reason(error: Exception) -> str:
    """What went wrong, of a text that continues with a trace and advice."""
    cause = getattr(error, "inner_exception", error)
    first_line = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return f"{type(cause).__name__}: {first_line}"
