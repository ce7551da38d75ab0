"""Runs a network many times with other values dropped each time, what comes before its first dropout only once.

Shapes: B images, R repetitions, C channels, H × W pixels, D embedding size.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from facemargin.backbones import Backbone
from facemargin.randomness import Purpose, sample_generator

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
"""Modules that zero values (nn.Dropout) or whole channels (the others) and multiply the rest by 1/(1 − p)."""

Dropout = nn.Dropout | nn.Dropout1d | nn.Dropout2d | nn.Dropout3d

# Rows of a pass through a whole network.
_ROWS = 32

logger = logging.getLogger(__name__)


class _Whole(nn.Module):
    """The backbone without the check of its input, on whose outcome torch.fx would stumble."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images_BCHW: Tensor) -> Tensor:
        return self.backbone.embed(self.backbone.feature_map(images_BCHW))


class RepeatedNetwork:
    """`backbone` with its dropouts on, in `passes` repetitions.

    What repetition r drops depends on (seed, r) and on the place in the network, and is the same for every image.
    `rate` replaces the probability of every dropout; otherwise each has its own. `splits` says whether what comes
    before the first dropout is computed once per image.
    """

    def __init__(self, backbone: Backbone, passes: int, seed: int, rate: float | None = None) -> None:
        self._network, self._passes, self._seed, self._rate = _Whole(backbone), passes, seed, rate
        self._dropouts = [module for module in backbone.modules() if isinstance(module, DROPOUTS)]
        self._kept: dict[tuple[int, int, tuple[int, ...]], Tensor] = {}
        self._split = _split(self._network, self._dropouts)
        if self._split is not None and not _agrees(self._network, *self._split):
            self._split = None
        if self._split is None:
            logger.warning(
                "what comes before the first dropout of %s cannot be told from the rest, so the whole network runs %d "
                "times for each image",
                type(backbone).__name__, passes,
            )  # fmt: skip

    @property
    def splits(self) -> bool:
        return self._split is not None

    def features(self, images_BCHW: Tensor) -> Iterator[Tensor]:
        """Yields the features (R, D) of each image."""
        if self._split is None:
            for image_1CHW in images_BCHW.split(1):
                parts = [
                    self._run(self._network, (image_1CHW.expand(stop - start, *image_1CHW.shape[1:]),), start, stop)
                    for start, stop in _parts(self._passes)
                ]
                yield torch.cat(parts)
            return
        before, after = self._split
        crossing = before(images_BCHW)
        for image in range(len(images_BCHW)):
            yield self._run(after, _repeated(crossing, slice(image, image + 1), self._passes), 0, self._passes)

    def _run(self, network: Callable[..., Any], inputs: tuple[Any, ...], start: int, stop: int) -> Tensor:
        with self._dropping(start, stop):
            features_RD: Tensor = network(*inputs)
        return features_RD

    @contextmanager
    def _dropping(self, start: int, stop: int) -> Iterator[None]:
        """Within, the rows of the batch are the repetitions `start` to `stop`, and every dropout drops."""
        calls = 0

        def drop(module: Dropout, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            rate = module.p if self._rate is None else self._rate
            kept = [self._kept_values(module, inputs[0], calls, number, rate) for number in range(start, stop)]
            return inputs[0] * torch.stack(kept) / (1 - rate)

        hooks = [module.register_forward_hook(drop) for module in self._dropouts if self._rate or 0 < module.p < 1]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _kept_values(self, module: Dropout, values: Tensor, call: int, repetition: int, rate: float) -> Tensor:
        """1 for every value that this call of a dropout keeps, otherwise 0."""
        row = values.shape[1:]
        shape = row if isinstance(module, nn.Dropout) else (row[0], *[1] * (len(row) - 1))
        key = (call, repetition, tuple(shape))
        if key not in self._kept:
            generator = sample_generator(self._seed, repetition, call, Purpose.DROPOUT)
            kept = torch.from_numpy(generator.random(shape, dtype="float32") >= rate)
            if not self.splits:  # too many to keep
                return kept.to(values.device, values.dtype)
            self._kept[key] = kept.to(values.device, values.dtype)
        return self._kept[key]


def _parts(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))


_Halves = tuple[Callable[[Tensor], list[Tensor]], Callable[..., Any]]


class _Tracer(fx.Tracer):
    """Traces down to torch's modules, dropouts among them, and to every convolution."""

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(m, Backbone):
            forward = _Whole(m).forward
        return super().call_module(m, forward, args, kwargs)

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return isinstance(module, (nn.Conv2d, *DROPOUTS)) or super().is_leaf_module(module, name)


def _split(network: nn.Module, dropouts: Sequence[nn.Module]) -> _Halves | None:
    """The network before its first dropout, images → the tensors that the rest needs, and the rest, these tensors →
    features. None where torch.fx cannot tell one from the other."""
    try:
        graph = _Tracer().trace(network)
    except Exception:  # a network that branches on values or sizes may raise any error with torch.fx's placeholders
        return None
    nodes = list(graph.nodes)
    (images,) = [node for node in nodes if node.op == "placeholder"]
    first = next(
        (
            place
            for place, node in enumerate(nodes)
            if node.op == "call_module" and network.get_submodule(str(node.target)) in dropouts
        ),
        None,
    )
    if first is None:
        return None
    of_images = _reached_from(images)
    before, after = set(nodes[:first]), set(nodes[first:])
    crossing = [node for node in nodes[:first] if node in of_images and after & set(node.users)]
    if any(not _is_tensor_of_rows(node) for node in crossing):
        return None
    head, tail = fx.Graph(), fx.Graph()
    heads: dict[fx.Node, fx.Node] = {}
    for node in nodes[:first]:
        heads[node] = head.node_copy(node, lambda node: heads[node])
    head.output([heads[node] for node in crossing])
    tails: dict[fx.Node, fx.Node] = {}
    for number, node in enumerate(crossing):
        tails[node] = tail.placeholder(f"crossing_{number}")
    for node in nodes:
        needed = node in after or (node in before and node not in of_images and node.op != "placeholder")
        if needed and node not in tails:
            tails[node] = tail.node_copy(node, lambda node: tails[node])
    return fx.GraphModule(network, head), fx.GraphModule(network, tail)


def _reached_from(source: fx.Node) -> set[fx.Node]:
    reached, waiting = {source}, [source]
    while waiting:
        for user in waiting.pop().users:
            if user not in reached:
                reached.add(user)
                waiting.append(user)
    return reached


def _is_tensor_of_rows(node: fx.Node) -> bool:
    """Whether the node may be a tensor with a row for each image; sizes and shapes are not."""
    return not (node.op == "call_method" and node.target in ("size", "dim")) and node.target is not getattr


@torch.no_grad()
def _agrees(network: _Whole, before: Callable[[Tensor], list[Tensor]], after: Callable[..., Any]) -> bool:
    """Whether both halves one after the other give the network's features, for repeated rows, too."""
    backbone = network.backbone
    weight = next(network.parameters())
    shape = (2, backbone.in_channels, backbone.input_size, backbone.input_size)
    images_BCHW = torch.linspace(-1, 1, 2 * shape[1] * shape[2] * shape[3], device=weight.device, dtype=weight.dtype)
    images_BCHW = images_BCHW.reshape(shape)
    expected_BD = network(images_BCHW)
    try:
        crossing = before(images_BCHW)
        for row in range(2):
            found_RD = after(*_repeated(crossing, slice(row, row + 1), 3))
            expected_RD = expected_BD[row].expand(3, -1)
            if found_RD.shape != expected_RD.shape or not torch.allclose(found_RD, expected_RD, rtol=1e-3, atol=1e-4):
                return False
    except (RuntimeError, TypeError, AttributeError):  # shapes that were fixed for the batch, and what is no tensor
        return False
    return True


def _repeated(crossing: list[Tensor], rows: slice, times: int) -> tuple[Tensor, ...]:
    return tuple(values[rows].expand(times, *values.shape[1:]) for values in crossing)
