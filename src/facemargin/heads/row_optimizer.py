"""SGD on the sampled rows of the class centres, and what happens to the rows that are not sampled.

    g = ∂L/∂w + λ·w        v ← μ·v + g        w ← w − η·v          (momentum μ, weight decay λ, learning rate η)

When classes are sampled, most rows have no gradient in a step. Dense SGD, with zeros for the missing gradients, would
still apply weight decay and momentum to them. Such a step without gradient is linear, [w; v] ← M·[w; v] with

    M = [[1 − η·λ, −η·μ], [λ, μ]]

so that a row that missed k steps catches up with one product of k such 2 × 2 matrices when it is next used.

Shapes: C classes of a shard, S sampled, D feature values, K steps of the history. With sub-centres, a class's row is a
matrix.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from facemargin.errors import ConfigError

UnsampledRows = Literal["frozen", "exact"]

# All rows catch up once the history is this long, so that it cannot grow without bound.
_LONGEST_HISTORY = 1024


class RowSGD:
    """Momentum SGD that updates only the rows it is given.

    unsampled: "frozen" does not change the other rows and their momentum (as PartialFC does). "exact" lets a row catch
    up when it is next used, which gives the same result as dense SGD with zeros for the missing gradients.
    """

    def __init__(self, momentum: float = 0.9, weight_decay: float = 5e-4, unsampled: UnsampledRows = "frozen") -> None:
        if unsampled not in get_args(UnsampledRows):
            raise ConfigError(f"unsampled_rows is {unsampled!r}, expected frozen or exact")
        self.momentum, self.weight_decay, self.unsampled = momentum, weight_decay, unsampled
        self.momentum_CD: Tensor | None = None
        self._history_K22: list[Tensor] = []  # the matrices M of the last steps
        self._missed_C: Tensor | None = None  # how many of these steps, counted from the end, each row has missed

    def gather(self, w_CD: Tensor, index_S: Tensor) -> Tensor:
        """Copies of the rows `index_S`, (S, D), up to date; in "exact" mode those in `w_CD` catch up first."""
        self._prepare(w_CD)
        if self._history_K22:
            self._catch_up(w_CD, index_S)
        return w_CD[index_S]

    @torch.no_grad()
    def step(self, w_CD: Tensor, index_S: Tensor, w_SD: Tensor, gradient_SD: Tensor, learning_rate: float) -> None:
        """One step on the rows `index_S`, in place in `w_CD`; `w_SD` is what `gather` gave for them."""
        self._prepare(w_CD)
        assert self.momentum_CD is not None
        v_SD = self.momentum_CD[index_S].mul_(self.momentum).add_(gradient_SD).add_(w_SD, alpha=self.weight_decay)
        self.momentum_CD.index_copy_(0, index_S, v_SD)
        w_CD.index_copy_(0, index_S, w_SD.sub(v_SD, alpha=learning_rate))
        if self._missed_C is not None:
            self._record(learning_rate)
            self._missed_C += 1
            self._missed_C[index_S] = 0
            if len(self._history_K22) >= _LONGEST_HISTORY:
                self.flush(w_CD)

    def flush(self, w_CD: Tensor) -> None:
        """Bring every row up to date, in place in `w_CD`."""
        if self._history_K22:
            assert self._missed_C is not None
            behind_C = torch.nonzero(self._missed_C).squeeze(1)
            # in parts, so that the copies stay much smaller than all centres
            for index_S in behind_C.split(65_536):
                self._catch_up(w_CD, index_S)
            self._history_K22.clear()

    def state_dict(self) -> dict[str, Any]:
        """The momentum, (C, D); call `flush` first."""
        return {} if self.momentum_CD is None else {"momentum": self.momentum_CD}

    def load_state_dict(self, saved: dict[str, Any], w_CD: Tensor) -> None:
        """Continue from `saved`. Raises RuntimeError if it does not fit these centres."""
        self.momentum_CD, self._missed_C = None, None
        self._history_K22.clear()
        self._prepare(w_CD)
        if "momentum" in saved:
            assert self.momentum_CD is not None
            self.momentum_CD.copy_(saved["momentum"])

    def _prepare(self, w_CD: Tensor) -> None:
        if self.momentum_CD is None:
            self.momentum_CD = torch.zeros_like(w_CD, requires_grad=False)
            if self.unsampled == "exact":
                self._missed_C = torch.zeros(len(w_CD), dtype=torch.int64, device=w_CD.device)

    def _record(self, learning_rate: float) -> None:
        decay, momentum = self.weight_decay, self.momentum
        rows = [[1 - learning_rate * decay, -learning_rate * momentum], [decay, momentum]]
        self._history_K22.append(torch.tensor(rows, dtype=torch.float64))

    @torch.no_grad()
    def _catch_up(self, w_CD: Tensor, index_S: Tensor) -> None:
        assert self.momentum_CD is not None and self._missed_C is not None
        missed_S = self._missed_C[index_S]
        longest = int(missed_S.max()) if len(missed_S) else 0
        if longest == 0:
            return
        # products_K22[k]: the last k steps as one matrix
        products = [torch.eye(2, dtype=torch.float64)]
        for matrix_22 in reversed(self._history_K22[len(self._history_K22) - longest :]):
            products.append(products[-1] @ matrix_22)
        matrix_S22 = torch.stack(products).to(w_CD.device)[missed_S]
        w_SD, v_SD = w_CD[index_S], self.momentum_CD[index_S]
        entries_4S = matrix_S22.flatten(1).to(w_CD.dtype).T
        a_S1, b_S1, c_S1, d_S1 = entries_4S.reshape(4, -1, *[1] * (w_CD.ndim - 1))
        w_CD.index_copy_(0, index_S, a_S1 * w_SD + b_S1 * v_SD)
        self.momentum_CD.index_copy_(0, index_S, c_S1 * w_SD + d_S1 * v_SD)
        self._missed_C[index_S] = 0
