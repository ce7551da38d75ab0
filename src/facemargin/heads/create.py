"""Creates a head from the name and the settings of a margin."""

from dataclasses import fields
from typing import Any, overload

import torch

from facemargin.errors import ConfigError
from facemargin.heads.head import Head
from facemargin.heads.options import HeadOptions
from facemargin.margins.base import MarginConfig, check_settings, create_margin, margin_class, margin_name


@overload
def create_head(
    name: str,
    num_classes: int,
    embedding_size: int = ...,
    *,
    generator: torch.Generator | None = ...,
    **settings: Any,
) -> Head: ...


@overload
def create_head(
    name: MarginConfig,
    num_classes: int,
    embedding_size: int = ...,
    *,
    generator: torch.Generator | None = ...,
    **settings: Any,
) -> Head: ...


def create_head(
    name: str | MarginConfig,
    num_classes: int,
    embedding_size: int = 512,
    *,
    generator: torch.Generator | None = None,
    **settings: Any,
) -> Head:
    """A head with the margin registered as `name`; `settings` are the margin's own fields (`list_margins()` names the
    margins, a margin's `Config` its fields) and these:

    implementation: "auto", or one of those of `softmax_terms`. backward: "bf16" rounds the factors of the two backward
    products to bf16, with float32 sums, which is faster where the device has instructions for it (docs/heads.md states
    the error); "eager" does not have it.
    center_initialization: "unit" or "normal"; the default is what the margin's authors use. `generator` draws the
    initial centres. seed: the random draws of a margin and the choice of sampled classes depend on this seed and the
    step only.

    sub_centers: K, the number of centres of a class, of which the nearest gives the class's cosine (docs/heads.md). For
    K > 1 `weight` is (C, K, D), and "triton" has no kernels.

    process_group: a torch.distributed group over which the centres are sharded, or None for a single process. Every
    process calls the head with its own rows of the batch. `weight` is the shard of this process, `loss` is the mean
    over the global batch, and the gradients are those of this loss. The gradients of a replicated backbone must be
    summed over the processes.

    sample_rate: the share of its classes that every process uses in a step (PartialFC); the classes of the batch are
    always among them. If it is below 1, call `head.step(learning_rate)` after the backward pass: it updates the centres
    through `row_optimizer` (a `RowSGD`). exact_hardest_negative: search the hardest negative among all centres, with
    one more product without gradient. hardest_class: also find the class of the hardest negative.

    memory: what the head remembers of earlier batches, whatever the margin: a `facemargin.heads.BroadFaceConfig` (a
    queue of samples, which the centres learn from, too) or `VPLConfig` (features injected into the centres). It needs
    sample_rate 1.

    `name` may be the margin's configuration instead, `FunFaceConfig(margin=0.5)`; `settings` are then those of the head
    alone. Raises ConfigError for an unknown margin, setting or value.

    Examples:
        >>> import facemargin as fm, torch
        >>> head = fm.create_head("funface", num_classes=10, embedding_size=4, margin=0.5)
        >>> same = fm.create_head(fm.margins.FunFaceConfig(margin=0.5), num_classes=10, embedding_size=4)
        >>> head.margin.config == same.margin.config
        True
        >>> head(torch.ones(2, 4), torch.tensor([0, 3])).losses_B.shape
        torch.Size([2])
    """
    config = None
    if isinstance(name, MarginConfig):
        config, name = name, margin_name(name)
        if given := [item.name for item in fields(config) if item.name in settings]:
            raise ConfigError(f"{given[0]} is given beside {config!r}: set it there")
    option_names = [item.name for item in fields(HeadOptions)]
    check_settings(name, settings, margin_class(name), also=(*option_names, "generator"))
    options = HeadOptions(**{key: settings.pop(key) for key in option_names if key in settings})
    margin = create_margin(name, **(settings if config is None else vars(config)))
    margin.seed = options.seed
    return Head(margin, num_classes, embedding_size, options, generator)
