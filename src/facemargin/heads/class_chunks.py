"""The chunks of classes that `softmax_terms_chunked` computes with, one after another, and what it keeps of them.

Shapes: B samples, C classes, D feature values, K classes of one chunk, R its centres: K, or K·S with S sub-centres a
class. Cosines are stored class by class, so that a chunk is one block of memory. Of sub-centres, only the nearest one's
cosine and its number are kept.
"""

from collections.abc import Iterator
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor

from facemargin.heads.buffers import reused_buffer
from facemargin.heads.rounded_products import product_in_float32
from facemargin.heads.sub_centers import center_rows, num_sub_centers
from facemargin.transfer import on_device

# 1 MB in float32.
_CACHED_NUMBERS = 2**18


class Kept(NamedTuple):
    """What is kept from forward to backward of the first classes: `cosine_CB`, and with sub-centres `nearest_CB`, which
    of a class's is the nearest."""

    cosine_CB: Tensor
    nearest_CB: Tensor | None

    @classmethod
    def empty(cls, kept_bytes: int, chunk_classes: int, x_BD: Tensor, w_CD: Tensor) -> "Kept":
        """Memory for as many chunks as fit into `kept_bytes`."""
        bytes_of_class = (x_BD.element_size() + (w_CD.ndim == 3)) * len(x_BD)
        classes = min(kept_bytes // max(bytes_of_class, 1) // chunk_classes * chunk_classes, len(w_CD))
        shape, nearest_CB = (classes, len(x_BD)), None
        if w_CD.ndim == 3:
            number = x_BD.new_empty(0, dtype=torch.uint8)
            nearest_CB = reused_buffer(w_CD, "nearest").empty(shape, number)
        return cls(reused_buffer(w_CD, "cosines").empty(shape, x_BD), nearest_CB)


class Chunk(NamedTuple):
    """Consecutive classes and their centres. `inverse_norm_R1`: 1/‖w‖. `kept_KB`: the memory that keeps their
    cosines, or None; `kept_nearest_KB` that of the numbers of their nearest sub-centres. `targets_T`: the positions of
    the samples' own classes in the flattened (K, B) matrix."""

    classes: int
    w_RD: Tensor
    inverse_norm_R1: Tensor
    kept_KB: Tensor | None
    kept_nearest_KB: Tensor | None
    targets_T: Tensor

    def cosines(self, x_BD: Tensor, scratch: "Scratch") -> Tensor:
        """The cosines to the classes, (K, B), where they are kept, or else in `scratch`. Those of the targets are
        replaced by `absent`, so that no maximum and no threshold selects them."""
        cosine_KB = scratch.take("cosine", self.classes) if self.kept_KB is None else self.kept_KB
        if len(self.w_RD) == self.classes:
            torch.mm(self.w_RD, x_BD.T, out=cosine_KB).mul_(self.inverse_norm_R1)
        else:
            self._largest(x_BD, scratch, cosine_KB)
        return fill(cosine_KB, self.targets_T, absent(cosine_KB))

    def _largest(self, x_BD: Tensor, scratch: "Scratch", out_KB: Tensor) -> None:
        """The largest of the cosines to a class's sub-centres, and which it is, the first of several as large."""
        all_RB = scratch.take("all cosines", self.classes, of_class=len(self.w_RD) // self.classes)
        torch.mm(self.w_RD, x_BD.T, out=all_RB).mul_(self.inverse_norm_R1)
        first_KB, *others = all_RB.unflatten(0, (self.classes, -1)).unbind(1)
        out_KB.copy_(first_KB)
        nearest_KB = self._nearest(scratch).zero_()
        for number, cosine_KB in enumerate(others, start=1):
            nearest_KB.masked_fill_(cosine_KB > out_KB, number)
            torch.maximum(out_KB, cosine_KB, out=out_KB)

    def _nearest(self, scratch: "Scratch") -> Tensor:
        """Which of every class's sub-centres is the nearest, (K, B), as `cosines` left it."""
        kept_KB = self.kept_nearest_KB
        return scratch.take("nearest", self.classes, torch.uint8) if kept_KB is None else kept_KB

    def gradients(
        self,
        share_KB: Tensor,
        product_KB: Tensor,
        factor_B: Tensor,
        weighted_x_BD: Tensor,
        scratch: "Scratch",
        grad_x_BD: Tensor | None,
        grad_w_RD: Tensor,
    ) -> None:
        """From ∂loss/∂cosine = factor_B · `share_KB`, which is overwritten, and `product_KB`, the share times the
        cosine, write the gradient of these centres and add that of the features, which the caller multiplies by
        `factor_B`, to `grad_x_BD`, if it is wanted. `weighted_x_BD` is x times the factor; if it is in bf16, so are
        the factors of both products."""
        # The derivative d cos/dw for a normalised centre: the part along the centre does not change its direction.
        product_RB = self._of_nearest(product_KB, scratch, "product of centers")
        radial_R1 = torch.mv(product_RB, factor_B)[:, None].mul_(-self.inverse_norm_R1.square())
        share_RB = self._of_nearest(share_KB, scratch, "share of centers").mul_(self.inverse_norm_R1)
        if weighted_x_BD.dtype != share_RB.dtype:
            self._rounded_gradients(share_RB, radial_R1, weighted_x_BD, scratch, grad_x_BD, grad_w_RD)
            return
        if grad_x_BD is not None:
            grad_x_BD.addmm_(share_RB.T, self.w_RD)
        rows = _rows_in_cache(self.w_RD)
        for w_rD, radial_r1, share_rB, grad_w_rD in zip(
            *(values.split(rows) for values in (self.w_RD, radial_R1, share_RB, grad_w_RD)), strict=True
        ):
            torch.mul(w_rD, radial_r1, out=grad_w_rD)
            grad_w_rD.addmm_(share_rB, weighted_x_BD)

    def _rounded_gradients(
        self,
        share_RB: Tensor,
        radial_R1: Tensor,
        weighted_x_BD: Tensor,
        scratch: "Scratch",
        grad_x_BD: Tensor | None,
        grad_w_RD: Tensor,
    ) -> None:
        """The same for `weighted_x_BD` in bf16: the factors of both products are rounded, but not the part along the
        centre."""
        of_class = len(self.w_RD) // self.classes
        rounded_RB = scratch.take("rounded share", self.classes, weighted_x_BD.dtype, of_class).copy_(share_RB)
        if grad_x_BD is not None:
            w_RD = self.w_RD.to(rounded_RB.dtype)
            grad_x_BD += product_in_float32(rounded_RB.T, w_RD, torch.empty_like(grad_x_BD))
        product_in_float32(rounded_RB, weighted_x_BD, grad_w_RD).addcmul_(self.w_RD, radial_R1)

    def _of_nearest(self, values_KB: Tensor, scratch: "Scratch", name: str) -> Tensor:
        """The values of the classes as those of their nearest sub-centres, (R, B), and 0 of the others."""
        of_class = len(self.w_RD) // self.classes
        if of_class == 1:
            return values_KB
        values_RB = scratch.take(name, self.classes, of_class=of_class)
        for number, out_KB in enumerate(values_RB.unflatten(0, (self.classes, -1)).unbind(1)):
            torch.mul(values_KB, self._nearest(scratch) == number, out=out_KB)
        return values_RB


def chunks_of_classes(
    w_CD: Tensor, inverse_norms: Tensor, kept: Kept, targets: list[Tensor], chunk_classes: int
) -> Iterator[Chunk]:
    if not targets:  # `split` of an empty tensor would give one empty chunk
        return
    of_class = num_sub_centers(w_CD)
    per_center = (center_rows(w_CD), inverse_norms[:, None])
    kept_chunks = [() if kept_CB is None or not len(kept_CB) else kept_CB.split(chunk_classes) for kept_CB in kept]
    columns = zip(*(values.split(chunk_classes * of_class) for values in per_center), strict=True)
    for (w_RD, inverse_R1), *kept_and_targets in zip_longest(columns, *kept_chunks, targets):
        yield Chunk(len(w_RD) // of_class, w_RD, inverse_R1, *kept_and_targets)


def target_places(y_B: Tensor, num_classes: int, chunk_classes: int, device: torch.device) -> list[Tensor]:
    """For every chunk, the positions of the samples' own classes in its flattened (K, B) matrix, on `device`."""
    y_B = y_B.cpu()  # where the chunks' shares are known without waiting
    firsts = list(range(0, num_classes, chunk_classes))
    places_B = (y_B * len(y_B) + torch.arange(len(y_B))).sort().values
    bounds = torch.searchsorted(places_B, torch.tensor([*firsts, num_classes]) * len(y_B)).tolist()
    places_B = on_device(places_B, None, device)
    return [
        places_B[lower:upper] - first * len(y_B)
        for first, lower, upper in zip(firsts, bounds, bounds[1:], strict=False)
    ]


def absent(values: Tensor) -> float:
    """The value that stands for "no cosine". It is the lowest finite number, because −inf·0 and −inf + inf give NaN."""
    return torch.finfo(values.dtype).min


def fill(values_KB: Tensor, places_T: Tensor, value: float) -> Tensor:
    values_KB.view(-1).index_fill_(0, places_T, value)
    return values_KB


def _rows_in_cache(w_RD: Tensor) -> int:
    """How many rows of a gradient to write and at once to add a product to. On the CPU they then stay in the cache
    between the two; on a GPU every call would cost more than that saves."""
    return max(64, _CACHED_NUMBERS // max(w_RD.shape[1], 1)) if w_RD.device.type == "cpu" else max(len(w_RD), 1)


class Scratch:
    """Temporary tensors for the chunks of one pass, each allocated when it is first used."""

    def __init__(self, like_BD: Tensor, chunk_classes: int) -> None:
        self._like_BD, self._chunk_classes = like_BD, chunk_classes
        self._tensors: dict[str, Tensor] = {}

    def take(self, name: str, classes: int, dtype: torch.dtype | None = None, of_class: int = 1) -> Tensor:
        """The tensor called `name`, (classes·of_class, B). It still holds the values that were last written to it."""
        if name not in self._tensors:
            rows = self._chunk_classes * of_class
            self._tensors[name] = self._like_BD.new_empty(rows, len(self._like_BD), dtype=dtype)
        return self._tensors[name][: classes * of_class]
