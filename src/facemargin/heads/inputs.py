"""Converts what a caller passes to a head into the tensors it computes with. Nothing here waits for a device.

Shapes: b samples of this process, D feature values.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from facemargin.errors import DataError


def as_features(features: Any, weight_CD: Tensor) -> Tensor:
    """The features, (b, D), in float32 or the type of the centres, whichever is more precise. Raises DataError if they
    are not such a tensor."""
    embedding_size = weight_CD.shape[-1]
    if not isinstance(features, Tensor):
        raise DataError(f"features are a {type(features).__name__}, expected a tensor of shape (B, {embedding_size})")
    if features.ndim != 2 or features.shape[1] != embedding_size:
        flatten = ": pass features.flatten(1)" if features.ndim > 2 and features[:1].numel() == embedding_size else ""
        raise DataError(f"features have shape {tuple(features.shape)}, expected (B, {embedding_size}){flatten}")
    if not features.is_floating_point():
        raise DataError(f"features are {features.dtype}, which carries no gradient: expected floating-point numbers")
    if features.device != weight_CD.device:
        raise DataError(
            f"features are on {features.device}, the head's centres on {weight_CD.device}: move one of them, as in "
            f"head.to({str(features.device)!r})"
        )
    wanted = torch.promote_types(weight_CD.dtype, torch.float32)
    return features.to(torch.promote_types(features.dtype, wanted))


def as_labels(labels: Any, device: torch.device) -> Tensor:
    """int64 labels, (b,), on `device`, from integers of any type in a tensor, an array or a list of shape (b,) or (b,
    1). Raises DataError for anything else; the message says what to pass."""
    if not isinstance(labels, Tensor):
        try:
            labels = torch.as_tensor(_plain(labels))
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"labels are a {type(labels).__name__} that cannot be read as numbers, expected one class number "
                f"per feature ({error})"
            ) from error
        if labels.numel() == 0:  # torch takes an empty list for floating-point numbers
            labels = labels.long()
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels.squeeze(1)
    if labels.ndim == 2:
        raise DataError(
            f"labels have shape {tuple(labels.shape)}, expected class numbers of shape ({len(labels)},): if the "
            "labels are one-hot, pass labels.argmax(1)"
        )
    if labels.ndim != 1:
        raise DataError(f"labels have shape {tuple(labels.shape)}, expected (B,), one class number per feature")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"labels are {labels.dtype}, expected integers: pass labels.long() if they are whole numbers")
    labels_B: Tensor = labels.to(device, torch.int64)
    return labels_B


def _plain(labels: Any) -> Any:
    """Convert an array or a column of a table to something torch can read. torch reads no arrays of objects and none
    with negative strides."""
    if not hasattr(labels, "__array__"):
        return labels
    array = np.asarray(labels)
    return array.tolist() if array.dtype.kind == "O" else np.require(array, requirements=["C", "W"])
