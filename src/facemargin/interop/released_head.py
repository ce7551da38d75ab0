"""Loads released class centres and statistics into a head, to continue training with the same people.

| file | centres | statistics |
|---|---|---|
| AdaFace `.ckpt` | `head.kernel` (D, C) | `head.batch_mean`, `head.batch_std` of the norms (not `head.t`) |
| MagFace `.pth` | `parallel_fc.weight` (C, D), `module.fc.weight` or `fc.weight` (D, C) | none |
| InsightFace `softmax_fc_gpu_0.pt` | `weight`, (C of the process, D) each of the files `…_gpu_0`, `…_gpu_1`, … | none |
| InsightFace `checkpoint_gpu_0.pt` | the same | none |
| facemargin `head.safetensors` | `weight` (C, D), with sub-centres (C, K, D) | `margin.…` |

Shapes: C classes, c classes of this process, D embedding size, K sub-centres of a class.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from facemargin.counting import counted, some_of
from facemargin.errors import CheckpointError
from facemargin.files.stored_tensor import StoredTensor
from facemargin.heads import Head
from facemargin.interop.reading import read_checkpoint_file
from facemargin.interop.recognize import tensors_in

# Key of the centres, and whether the rows are the features' values.
_CENTERS = {
    "head.kernel": True,
    "parallel_fc.weight": False,
    "module.fc.weight": True,
    "module.parallel_fc.weight": False,
    "fc.weight": True,
    "weight": False,
}
_STATISTICS = {"head.batch_mean": "margin.norm_statistics.mean", "head.batch_std": "margin.norm_statistics.std"}
_CONTAINERS = ("state_dict", "state_dict_softmax_fc", "")
_SHARD = re.compile(r"(.*_gpu_)0(\.\w+)")


@dataclass(frozen=True)
class LoadedHead:
    """The key of the centres that were loaded, how many classes, and the names of the running statistics."""

    key: str
    num_classes: int
    statistics: tuple[str, ...]


def load_head(path: Path | str, head: Head, trust: bool = False) -> LoadedHead:
    """Give `head` the class centres in a released file, and the running statistics that its margin has too.

    A head that holds a shard of the classes takes the rows of its own. Raises CheckpointError, naming the file, where
    it holds no centres, or of another number of classes, sub-centres or values than the head's, or is refused (see
    `read_checkpoint_file`). The head is then as it was.

    Examples:
        >>> import facemargin as fm, tempfile, torch
        >>> path = tempfile.mkdtemp() + "/head.pt"
        >>> torch.save({"head.kernel": torch.eye(4, 10)}, path)
        >>> head = fm.create_head("adaface", num_classes=10, embedding_size=4)
        >>> loaded = fm.load_head(path, head)
        >>> head.weight[0]
        tensor([1., 0., 0., 0.], grad_fn=<SelectBackward0>)
    """
    path = Path(path)
    tensors = _tensors(path, trust)
    key = next((key for key in _CENTERS if key in tensors and len(tensors[key].shape) in (2, 3)), None)
    if key is None:
        raise CheckpointError(
            f"{path} holds no class centres: expected one of {', '.join(_CENTERS)}, found {some_of(tensors) or 'none'}"
        )
    parts = [tensors[key], *_other_shards(path, key, trust)]
    num_classes, size = head.num_classes, head.weight.shape[-1]
    for part in parts:
        _check_sub_centers(path, part.shape, head.options.sub_centers)
    turned = len(parts[0].shape) == 2 and _is_turned(parts, key, num_classes, size)
    num_found = sum(part.shape[1 if turned else 0] for part in parts)
    found_size = parts[0].shape[0 if turned else -1]
    if (num_found, found_size) != (num_classes, size):
        raise CheckpointError(
            f"{path} holds the centres of {counted(num_found, 'class', 'classes')} of {counted(found_size, 'value')}, "
            f"the head has {num_classes:,} of {size}: use the training set and the embedding size of that training"
        )
    centers_cD = _rows(parts, turned, head.class_range)
    state = head.state_dict()
    known = {_STATISTICS.get(name, name): tensor for name, tensor in tensors.items() if name != key}
    statistics = {
        name: known[name].read().to(state[name].dtype).reshape(state[name].shape)
        for name in state
        if name.startswith("margin.") and name in known and _count(known[name]) == state[name].numel()
    }
    if not all(bool(values.isfinite().all()) for values in (centers_cD, *statistics.values())):
        raise CheckpointError(f"{path} has centres or statistics that are not finite: use another copy")
    with torch.no_grad():
        head.weight.copy_(centers_cD)
        buffers = {**dict(head.named_buffers()), **dict(head.named_parameters())}
        for name, values in statistics.items():
            buffers[name].copy_(values)
    return LoadedHead(key, num_classes, tuple(statistics))


def _tensors(path: Path, trust: bool) -> dict[str, StoredTensor]:
    content = read_checkpoint_file(path, trust)
    tensors: dict[str, StoredTensor] = {}
    for container in _CONTAINERS:
        tensors |= tensors_in(content if container == "" else content.get(container))
    return tensors


def _other_shards(path: Path, key: str, trust: bool) -> list[StoredTensor]:
    """Of the processes after the first, whose files lie beside its own."""
    match = _SHARD.fullmatch(path.name)
    parts: list[StoredTensor] = []
    while match and (other := path.with_name(f"{match[1]}{len(parts) + 1}{match[2]}")).is_file():
        tensors = _tensors(other, trust)
        if key not in tensors or len(tensors[key].shape) not in (2, 3):
            raise CheckpointError(f"{other} does not have {key}, but {path.name} has: use files of the same training")
        parts.append(tensors[key])
    return parts


def _check_sub_centers(path: Path, shape: tuple[int, ...], wanted: int) -> None:
    found = 1 if len(shape) == 2 else shape[1]
    if found != wanted:
        raise CheckpointError(
            f"{path} holds {counted(found, 'centre')} of each class, the head has {wanted}: set sub_centers "
            f"(head.sub_centers in a recipe) to {found}"
        )


def _is_turned(parts: list[StoredTensor], key: str, num_classes: int, size: int) -> bool:
    """Whether a centre is a column. The shape says it, unless there are as many classes as values."""
    if len(parts) == 1 and num_classes != size:
        if parts[0].shape == (num_classes, size):
            return False
        if parts[0].shape == (size, num_classes):
            return True
    return _CENTERS[key]


def _rows(parts: list[StoredTensor], turned: bool, class_range: tuple[int, int]) -> Tensor:
    """The centres of the classes [first, last), (c, D) or (c, K, D); parts that hold none of them are not read."""
    first, last = class_range
    rows, start = [], 0
    for part in parts:
        count = part.shape[1 if turned else 0]
        low, high = max(first - start, 0), min(last - start, count)
        if low < high:
            values = part.read()
            rows.append((values.T if turned else values)[low:high].float())
        start += count
    shape_of_row = (parts[0].shape[0],) if turned else parts[0].shape[1:]
    return torch.cat(rows) if rows else torch.empty(0, *shape_of_row)


def _count(stored: StoredTensor) -> int:
    return int(torch.Size(stored.shape).numel())
