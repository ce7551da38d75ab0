"""The classification head: the class centres, and a margin on the cosines between features and centres.

Shapes: B samples of the global batch, b of this process, C classes (of this process, where they are sharded),
S sampled classes, D feature values.
"""

import logging
import operator
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from facemargin.errors import ConfigError, DataError
from facemargin.full_precision import eager_in_compiled_code
from facemargin.heads.binary_terms import NO_TRITON, binary_shard_terms
from facemargin.heads.broadface import scale_gradient
from facemargin.heads.collectives import (
    RowsOfProcesses,
    check_exchanges,
    copy_for_products,
    gather_for_margin,
    gather_for_products,
)
from facemargin.heads.hardest_negative import hardest_negatives
from facemargin.heads.initialization import initial_centers
from facemargin.heads.inputs import as_features, as_labels
from facemargin.heads.memory import Samples
from facemargin.heads.normalization import nonzero, row_norms, unit_blocks
from facemargin.heads.options import HeadOptions
from facemargin.heads.output import HeadOutput
from facemargin.heads.sampling import SampledClasses, sample_classes
from facemargin.heads.sharding import combine_terms, shard_range, stored_centers, sum_own_targets, target_centers
from facemargin.heads.softmax_terms import own_target_cosines, shard_terms
from facemargin.margins.base import Margin, SoftmaxTerms
from facemargin.margins.certainty_ratio import certainty_ratio
from facemargin.transfer import on_device

logger = logging.getLogger(__name__)

_HOST = torch.device("cpu")


class Head(nn.Module):
    """Cross-entropy over scaled cosines to C class centres, with a margin on the target class.

    `weight` holds the centres, (C, D), with K > 1 sub-centres a class (C, K, D), or this process's shard of them. All
    arithmetic is in float32, also for features or centres of a smaller type and under autocast, forward and backward
    (float64 stays float64). In eval mode the margin's running statistics do not change, no classes are
    sampled, and a memory is neither used nor filled.

    Examples:
        >>> import facemargin as fm, torch
        >>> head = fm.create_head("arcface", num_classes=10, embedding_size=4)
        >>> out = head(torch.ones(2, 4, requires_grad=True), torch.tensor([0, 3]))
        >>> out.loss.backward()
        >>> head.weight.grad.shape
        torch.Size([10, 4])
    """

    sampling_step: Tensor

    def __init__(
        self,
        margin: Margin,
        num_classes: SupportsIndex,
        embedding_size: SupportsIndex,
        options: HeadOptions | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        num_classes = _positive("num_classes", num_classes)
        embedding_size = _positive("embedding_size", embedding_size)
        if num_classes == 1 and not margin.binary:
            logger.warning(
                "this head has one class, so its loss is always 0 and nothing is learnt: give it images of at "
                "least two people"
            )
        self.options = options or HeadOptions()
        if margin.binary and self.options.implementation == "triton":
            raise ConfigError(f'implementation is "triton": {NO_TRITON}; use "auto", "chunked" or "eager"')
        self.num_classes = num_classes
        self.margin = margin
        group = self.options.process_group
        self.class_range = (0, num_classes) if group is None else shard_range(num_classes, group.rank(), group.size())
        start = self.options.center_initialization or margin.center_initialization
        k = self.options.sub_centers
        rows = (self.class_range[0] * k, self.class_range[1] * k)
        centers_CD = initial_centers(start, num_classes * k, embedding_size, generator, rows)
        if k > 1:
            centers_CD = centers_CD.unflatten(0, (-1, k))
        self.samples_classes = self.options.sample_rate < 1
        margin.prepare(num_classes * self.options.sample_rate)
        self.weight = nn.Parameter(centers_CD, requires_grad=not self.samples_classes)
        self.sampled: SampledClasses | None = None
        if embedding_size % margin.center_blocks:
            raise ConfigError(
                f"embedding_size is {embedding_size}, which cannot be split into the margin's {margin.center_blocks} "
                f"parts of equal size: expected a multiple of {margin.center_blocks}"
            )
        config = self.options.memory
        self.memory = None if config is None else config.create(len(centers_CD), embedding_size)
        if self.samples_classes:
            self.row_optimizer = self.options.row_optimizer
            self.register_buffer("sampling_step", torch.tensor(0))
            self.register_state_dict_pre_hook(_flush_rows)  # type: ignore[no-untyped-call]  # torch has no types for it

    @eager_in_compiled_code
    def forward(self, features: Tensor, labels: Any) -> HeadOutput:
        """The loss of unnormalised features (b, D) with integer labels (b,) in [−1, C), given as a tensor, an array or
        a list. The label −1 means unlabelled: such a sample does not count in the loss, its denominator or any
        statistics. Every process passes its own rows; their number may differ. Raises DataError for shapes, types or
        labels that do not fit. A feature that is not finite makes the loss NaN. In a compiled model, the head is a
        graph break.

        With the features on a GPU, pass the labels as they are on the host: all that depends on their values is then
        prepared there, and nothing waits for the GPU. Labels on the GPU are fetched first."""
        features_bD = as_features(features, self.weight)
        check_exchanges(features_bD.device, self.options.process_group)
        labels_b = as_labels(labels, _HOST)
        if len(labels_b) != len(features_bD):
            raise DataError(f"labels have shape {tuple(labels_b.shape)}, expected ({len(features_bD)},)")
        with torch.autocast(features_bD.device.type, enabled=False):
            return self._forward(features_bD, labels_b)

    def _forward(self, features_bD: Tensor, labels_b: Tensor) -> HeadOutput:
        group = self.options.process_group
        rows = RowsOfProcesses.of(len(labels_b), features_bD.device, group)
        labels_B = self._gather_labels(labels_b, rows)
        labeled_B = labels_B >= 0
        num_labeled = int(labeled_B.sum())
        queue = self._queue(features_bD.dtype) if num_labeled else None
        # With a queue, all gradients are those of a mean over batch and queue, in which the batch has this share; the
        # network's are made those of the batch's own mean again.
        share = 1.0 if queue is None else num_labeled / (num_labeled + len(queue.y_Q))
        if queue is not None:
            features_bD = scale_gradient(features_bD, 1 / share)
        own_norm_b = row_norms(features_bD)
        x_BD = gather_for_products(features_bD / nonzero(own_norm_b)[:, None], rows)
        norm_B = gather_for_margin(own_norm_b, rows)
        # The positions of the labelled samples; None if all are.
        index_B = None if labeled_B.all() else on_device(labeled_B.nonzero().squeeze(1), None, x_BD.device)
        x_BD, norm_B = (v if index_B is None else v.index_select(0, index_B) for v in (x_BD, norm_B))
        batch = Samples(x_BD, norm_B, labels_B[labeled_B])
        y_B = self._margin_labels(batch)
        terms, target_logit_B, centers_BD = self._terms(batch, y_B)
        losses_B = self.margin.losses(terms, target_logit_B)
        parts = {"binary" if self.margin.binary else "softmax": losses_B.sum() / max(num_labeled, 1)}
        parts |= self.margin.extra_losses(terms, norm_B, y_B, centers_BD)
        if queue is not None:
            losses_B = scale_gradient(losses_B, share)
            parts = {name: scale_gradient(value, share) for name, value in parts.items()}
            parts["queue"] = self._queue_loss(queue, num_labeled)
        if self.training and num_labeled:
            self._remember(batch)

        def local_rows(values: Tensor, fill: float = float("nan")) -> Tensor:
            if index_B is not None:
                values = values.new_full((len(labels_B),), fill).index_copy(0, index_B, values)
            return values[rows.local]

        return HeadOutput(
            loss=torch.stack(list(parts.values())).sum(),
            losses_B=local_rows(losses_B if group is None else losses_B.detach(), 0.0),
            parts=parts,
            target_cosine_B=local_rows(terms.target_cosine_B.detach()),
            hardest_negative_B=local_rows(terms.hardest_negative_B),
            certainty_ratio_B=local_rows(certainty_ratio(terms.target_cosine_B, terms.hardest_negative_B)),
            feature_norm_B=own_norm_b.detach(),
            margin_scaler_B=local_rows(self.margin.margin_scaler(terms, norm_B).detach()),
            negative_lse_B=local_rows(
                torch.full_like(norm_B, torch.nan) if self.margin.binary else terms.negative_lse_B.detach()
            ),
            hardest_class_B=None if terms.hardest_class_B is None else local_rows(terms.hardest_class_B, -1),
            num_labeled=num_labeled,
        )

    def _margin_labels(self, samples: Samples) -> Tensor:
        """The samples' labels where the margin takes them."""
        return samples.y_Q if self.margin.takes_labels_on_host else on_device(samples.y_Q, None, samples.x_QD.device)

    def _terms(self, samples: Samples, y_B: Tensor, observe: bool = True) -> tuple[SoftmaxTerms, Tensor, Tensor | None]:
        """The terms of labelled samples, their target logits, and their centres where the margin needs them. `y_B` are
        the labels that the margin takes. While training, the margin's running values advance if it is to `observe`."""
        group, margin = self.options.process_group, self.margin
        x_BD, norm_B, host_y_B = samples
        w_CD, local_y_B = self._centers(host_y_B, x_BD.dtype)
        row_B = on_device(local_y_B, None, x_BD.device)
        scale_B = margin.scale(norm_B)
        target_cosine_B = torch.full_like(norm_B, float("nan"), requires_grad=False)
        if margin.uses_target_cosines:
            # The dot product of each sample with its own centre alone, because the margin must know which negatives are
            # hard before the product with all centres.
            target_cosine_B = sum_own_targets(own_target_cosines(x_BD.detach(), w_CD.detach(), row_B), group)
        if self.training and observe:
            margin.observe_targets(target_cosine_B)
        hard_negatives = margin.negatives(target_cosine_B)
        products_scale_B = copy_for_products(scale_B, group)
        find_class = self.options.hardest_class
        how = (self.options.implementation, self.options.backward, find_class)
        if margin.binary:
            negatives = margin.binary_negatives(norm_B)
            negatives = negatives._replace(offset_B=copy_for_products(negatives.offset_B, group))
            terms: SoftmaxTerms = binary_shard_terms(x_BD, w_CD, local_y_B, products_scale_B, negatives, *how)
        else:
            terms = shard_terms(x_BD, w_CD, local_y_B, products_scale_B, hard_negatives, *how)
        if self.options.exact_hardest_negative and self.training:
            weight_CD = unit_blocks(self.weight.detach().to(x_BD.dtype), margin.center_blocks)
            shard_y_B = on_device(host_y_B - self.class_range[0], None, x_BD.device)
            hardest_B, class_B = hardest_negatives(x_BD.detach(), weight_CD, shard_y_B, find_class)
            terms = terms._replace(hardest_negative_B=hardest_B, hardest_class_B=class_B)
        elif self.sampled is not None and self.training and terms.hardest_class_B is not None:
            terms = terms._replace(hardest_class_B=self.sampled.classes(terms.hardest_class_B))
        terms = combine_terms(self._numbered_among_all(terms), group)
        if self.training and observe:
            margin.observe(terms, norm_B)
        needed = margin.needs_centers and observe
        centers_BD = target_centers(x_BD.detach(), w_CD, row_B, group) if needed else None
        return terms, margin.target_logit(terms, norm_B, y_B), centers_BD

    def _queue(self, dtype: torch.dtype) -> Samples | None:
        """The samples of earlier passes that the centres learn from, if there are any."""
        memory = self.memory
        if memory is None or not self.training or not len(memory.classes):
            return None
        centers_QD = self._stored_centers(memory.classes) if memory.needs_centers else None
        x_QD, norm_Q, y_Q = memory.samples(centers_QD)
        return Samples(x_QD.to(dtype), norm_Q.to(dtype), y_Q)

    def _queue_loss(self, queue: Samples, num_labeled: int) -> Tensor:
        """What the samples of the queue add to the mean over batch and queue."""
        terms, target_logit_Q, _ = self._terms(queue, self._margin_labels(queue), observe=False)
        return self.margin.losses(terms, target_logit_Q).sum() / (num_labeled + len(queue.y_Q))

    def _remember(self, batch: Samples) -> None:
        if self.memory is not None:
            centers_BD = self._stored_centers(batch.y_Q) if self.memory.needs_centers else None
            detached = Samples(batch.x_QD.detach(), batch.norm_Q.detach(), batch.y_Q)
            self.memory.remember(detached, self.class_range[0], centers_BD)

    def _stored_centers(self, host_y_B: Tensor) -> Tensor:
        """The centres of the samples' classes as they are stored, (B, D), without gradient."""
        weight_CD = self.weight.detach()
        row_B = on_device(host_y_B - self.class_range[0], None, weight_CD.device)
        return stored_centers(weight_CD, row_B, self.options.process_group)

    def _numbered_among_all(self, terms: SoftmaxTerms) -> SoftmaxTerms:
        """The terms of this shard, with the hardest class counted from the first of all classes."""
        class_B, first = terms.hardest_class_B, self.class_range[0]
        return terms if class_B is None else terms._replace(hardest_class_B=class_B.where(class_B < 0, class_B + first))

    def _centers(self, host_y_B: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The centres that samples are compared with in this step, and each sample's row in them: on the CPU, where it
        is known, and on the device with sampled classes. The row of a class of another shard is out of range."""
        w_CD, local_y_B = self._rows_of_step(host_y_B)
        w_CD = unit_blocks(w_CD.to(dtype), self.margin.center_blocks)
        return w_CD if self.memory is None or not self.training else self.memory.injected(w_CD), local_y_B

    def _rows_of_step(self, host_y_B: Tensor) -> tuple[Tensor, Tensor]:
        local_y_B = host_y_B - self.class_range[0]
        if not (self.samples_classes and self.training):
            return self.weight, local_y_B
        local_y_B = on_device(local_y_B, None, self.weight.device)
        if self.sampled is None:
            self._sample(local_y_B)
        assert self.sampled is not None
        return self.sampled.rows_SD, self.sampled.positions(local_y_B, len(self.weight))

    @eager_in_compiled_code
    def begin_step(self, labels: Any) -> None:
        """Sample the classes of a step, given the labels (b,) of all its passes (−1 for unlabelled). A step with one
        pass does not need this call, because the forward pass makes it. If no classes are sampled, it does nothing."""
        if not self.samples_classes:
            return
        device = self.weight.device
        check_exchanges(device, self.options.process_group)
        labels_b = as_labels(labels, _HOST)
        labels_B = self._gather_labels(labels_b, RowsOfProcesses.of(len(labels_b), device, self.options.process_group))
        self._sample(on_device(labels_B[labels_B >= 0] - self.class_range[0], None, device))

    def _sample(self, local_y_B: Tensor) -> None:
        group = self.options.process_group
        shard = 0 if group is None else group.rank()
        step, rate = int(self.sampling_step), self.options.sample_rate
        if self.options.exact_hardest_negative:
            # The search reads all rows, so rows that missed steps must catch up first.
            self.row_optimizer.flush(self.weight.data)
        index_S = sample_classes(local_y_B, len(self.weight), rate, self.options.seed, step, shard)
        rows_SD = self.row_optimizer.gather(self.weight.data, index_S)
        self.sampled = SampledClasses(index_S, rows_SD.requires_grad_())
        self.sampling_step += 1

    @eager_in_compiled_code
    def step(self, learning_rate: float) -> None:
        """Update the sampled centres with their gradient. The next forward pass then samples new classes. A head
        without sampled classes does not need this: use an ordinary optimizer over its parameters."""
        if self.sampled is not None:
            rows_SD, gradient_SD = self.sampled.rows_SD, self.sampled.rows_SD.grad
            if gradient_SD is not None:
                index_S = self.sampled.index_S
                self.row_optimizer.step(self.weight.data, index_S, rows_SD.detach(), gradient_SD, learning_rate)
        self.skip_step()

    def skip_step(self) -> None:
        """Forget the step's sampled classes and their gradient."""
        self.sampled = None

    @property
    def class_rows(self) -> tuple[str, ...]:
        """The names in `state_dict()` of what has a row for every class of this process."""
        remembered = () if self.memory is None else self.memory.class_rows
        return ("weight", *(f"memory.{name}" for name in remembered))

    def trained_tensors(self) -> list[Tensor]:
        """The tensors that hold the centres' gradient of this step in `.grad`."""
        if not self.samples_classes:
            return [self.weight]
        return [] if self.sampled is None else [self.sampled.rows_SD]

    def shared_tensors(self) -> list[Tensor]:
        """What is learnt beside the centres, alike in every process: a margin's own parameters."""
        return list(self.margin.parameters())

    def _gather_labels(self, labels_b: Tensor, rows: RowsOfProcesses) -> Tensor:
        """The labels of all processes, on the CPU. Raises DataError for one out of range."""
        labels_B = rows.gather_on_host(labels_b)
        if len(labels_B):
            lowest, highest = (int(value) for value in labels_B.aminmax())
            if lowest < -1 or highest >= self.num_classes:
                raise DataError(
                    f"labels run from {lowest} to {highest}, expected 0 to {self.num_classes - 1}, or -1 for unlabelled"
                )
        return labels_B

    def extra_repr(self) -> str:
        first, last = self.class_range
        shard = "" if last - first == self.num_classes else f", classes={first}–{last - 1}"
        k = self.options.sub_centers
        sub_centers = f", sub_centers={k}" if k > 1 else ""
        return (
            f"num_classes={self.num_classes}{shard}, embedding_size={self.weight.shape[-1]}{sub_centers}, "
            f"implementation={self.options.implementation!r}"
        )


def _positive(name: str, value: SupportsIndex) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        raise ConfigError(f"{name} is {value!r} ({type(value).__name__}), expected a whole number")
    if number < 1:
        raise ConfigError(f"{name} is {number}, expected at least 1")
    return number


def _flush_rows(head: Head, *_: object) -> None:
    """Before the state of a head is saved, let its rows take the steps that they missed."""
    head.row_optimizer.flush(head.weight.data)
