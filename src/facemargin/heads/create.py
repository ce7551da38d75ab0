"""Creates a head from the name and the settings of a margin."""

from dataclasses import fields
from typing import Any

import torch

from facemargin.heads.head import Head, HeadOptions
from facemargin.margins.base import check_settings, create_margin, margin_class


def create_head(
    name: str,
    num_classes: int,
    embedding_size: int = 512,
    *,
    generator: torch.Generator | None = None,
    **settings: Any,
) -> Head:
    """A head with the margin registered as `name`; `settings` are the margin's own fields (`list_margins()` names the
    margins, a margin's `Config` its fields) and these:

    implementation: "auto", or one of those of `softmax_terms`. center_initialization: "unit" or "normal"; the default
    is what the margin's authors use. `generator` draws the initial centres. seed: the random draws of a margin and the
    choice of sampled classes depend on this seed and the step only.

    process_group: a torch.distributed group over which the centres are sharded, or None for a single process. Every
    process calls the head with its own rows of the batch. `weight` is the shard of this process, `loss` is the mean
    over the global batch, and the gradients are those of this loss. The gradients of a replicated backbone must be
    summed over the processes.

    sample_rate: the share of its classes that every process uses in a step (PartialFC); the classes of the batch are
    always among them. If it is below 1, call `head.step(learning_rate)` after the backward pass: it updates the centres
    through `row_optimizer` (a `RowSGD`). exact_hardest_negative: search the hardest negative among all centres, with
    one more product without gradient.

    Raises ConfigError for an unknown margin, setting or value.
    """
    option_names = [item.name for item in fields(HeadOptions)]
    check_settings(name, settings, margin_class(name), also=(*option_names, "generator"))
    options = HeadOptions(**{key: settings.pop(key) for key in option_names if key in settings})
    margin = create_margin(name, **settings)
    margin.seed = options.seed
    return Head(margin, num_classes, embedding_size, options, generator)
