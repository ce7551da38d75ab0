"""What becomes of the gradient between the backward pass and the optimizer: one scale, one norm, one decision for all
processes.

(torch's GradScaler decides for every optimizer and every process by itself. Here the norm of the whole gradient, which
all processes know, says whether it overflowed, so that none skips a step alone.)
"""

from typing import Any

import torch
from torch import Tensor

from facemargin.training.processes import Processes

_GROWTH, _BACKOFF = 2.0, 0.5
#: With a smaller scale than this, fp16 gradients overflow whatever it is.
SMALLEST_LOSS_SCALE = 2.0**-10


class LossScale:
    """The factor on a loss that keeps small fp16 gradients from vanishing; 1, and nothing done, unless `enabled`.

    It doubles after `growth_interval` steps without an overflow, and halves at every overflow. It lives on the device,
    which alone knows of an overflow without a wait; `scale` as a number waits for it.
    """

    def __init__(
        self,
        enabled: bool,
        scale: float = 65536.0,
        growth_interval: int = 2000,
        device: torch.device = torch.device("cpu"),  # noqa: B008  # it is never changed
    ) -> None:
        self.enabled = enabled
        self.growth_interval = growth_interval
        self.tensor = torch.full((), scale if enabled else 1.0, device=device)
        self._good_steps = torch.zeros((), dtype=torch.int64, device=device)

    @property
    def scale(self) -> float:
        return self.tensor.item()

    @scale.setter
    def scale(self, scale: float) -> None:
        self.tensor.fill_(scale)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss times the scale."""
        return loss * self.tensor if self.enabled else loss

    @torch.no_grad()
    def unscale_(self, gradients: list[Tensor]) -> None:
        """Divide the gradients by the scale."""
        if self.enabled and gradients:
            torch._foreach_div_(gradients, self.tensor)

    def update(self, finite: Tensor | bool) -> None:
        """Adapt the scale to whether the last gradient was finite."""
        if not self.enabled:
            return
        finite = torch.as_tensor(finite)
        good_steps = torch.where(finite, self._good_steps + 1, 0)
        grows = good_steps == self.growth_interval
        self.tensor *= torch.where(finite, torch.where(grows, _GROWTH, 1.0), _BACKOFF)
        self._good_steps = good_steps.masked_fill(grows, 0)

    def state_dict(self) -> dict[str, Any]:
        return {"enabled": self.enabled, "scale": self.scale, "good_steps": int(self._good_steps)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue from `saved`; KeyError or ValueError if it is not that of such a scale."""
        if saved["enabled"] != self.enabled:
            raise ValueError("its loss was scaled and this one's is not, or the other way round")
        self.scale = saved["scale"]
        self._good_steps.fill_(saved["good_steps"])


@torch.no_grad()
def global_gradient_norm(networks: list[Tensor], centers: list[Tensor], processes: Processes) -> Tensor:
    """‖g‖ of the whole model, a float64 scalar: √(Σ g² of the networks, which all processes have alike, + Σ over the
    processes of Σ g² of their class centres). The same in each, and not finite if any gradient is not."""
    zero = torch.zeros((), dtype=torch.float64, device=processes.device)
    networks_squares, centers_squares = (
        torch.nn.utils.get_total_norm(tensors).double().square() if tensors else zero for tensors in (networks, centers)
    )
    processes.sum_(centers_squares)
    return (networks_squares + centers_squares).sqrt()


@torch.no_grad()
def clip_(gradients: list[Tensor], largest_norm: float, norm: Tensor) -> None:
    """Scale the gradients so that their common norm is at most `largest_norm`; `norm` is what it is now."""
    if gradients:
        torch._foreach_mul_(gradients, (largest_norm / (norm + 1e-6)).clamp(max=1.0).to(gradients[0].dtype))
