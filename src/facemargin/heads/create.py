"""From a margin's name and settings to a head."""

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

    implementation: "auto", or one of `softmax_terms`. centre_initialisation: "unit" or "normal", by default what the
    margin's authors use; `generator` draws them. seed: a margin's own draws, and the choice of sampled classes, are a
    function of it and the step.

    process_group: a torch.distributed group over which the centres are sharded, None for a single process. Every
    process calls the head with its own rows of the batch; `weight` is its shard, `loss` the mean over the global batch,
    and the gradients those of that loss. A backbone that is replicated sums its gradients over the processes.

    sample_rate: the share of its classes that every process sees in a step, positives first (PartialFC). Below 1 the
    centres are updated by `head.step(learning_rate)` after the backward pass, through `row_optimizer` (a `RowSGD`).
    exact_hardest_negative: take the hardest negative over all centres, by one more product without gradient.

    Raises ConfigError for an unknown margin, setting or value.
    """
    own = [item.name for item in fields(HeadOptions)]
    check_settings(name, settings, margin_class(name), also=(*own, "generator"))
    options = HeadOptions(**{key: settings.pop(key) for key in own if key in settings})
    margin = create_margin(name, **settings)
    margin.seed = options.seed
    return Head(margin, num_classes, embedding_size, options, generator)
