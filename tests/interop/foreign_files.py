"""Other projects' checkpoints as those projects write them, around small random networks."""

import argparse
import functools
import pathlib
from collections import OrderedDict

import numpy as np
import torch

from facemargin.backbones import create_backbone
from facemargin.files.stored_tensor import StoredTensor
from facemargin.interop.blank import blank_networks

SIZE = 16
D = 8


class ModelCheckpoint:
    """A callback's class, by which older versions of Lightning name its state."""


@functools.cache
def network(name: str, seed: int = 0, **options):
    """A backbone with random weights and statistics, in eval mode: 16-pixel images, 8 features."""
    torch.manual_seed(seed)
    backbone = create_backbone(name, D, input_size=SIZE, **options).eval()
    with torch.no_grad():
        for key, value in backbone.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif key.endswith("running_mean"):
                value.normal_(std=0.1)
            elif value.ndim == 1:
                value.uniform_(0.2, 0.6)
            elif value.ndim > 1:
                value.normal_(std=(2 / value[0].numel()) ** 0.5)
                value.copy_(value.half())  # so that files of half precision hold the same
    return backbone


def state(name: str, prefix: str = "", **options) -> OrderedDict:
    """Its state dict, matrices in half precision (files half as large), with `prefix` before the keys."""
    found = network(name, **options).state_dict()
    return OrderedDict((prefix + key, value.half() if value.ndim > 1 else value) for key, value in found.items())


def shapes(name: str, prefix: str = "", embedding_size: int = 512, **options) -> dict[str, StoredTensor]:
    """Its keys and shapes alone."""
    with blank_networks():
        found = create_backbone(name, embedding_size, **options).state_dict()
    return {prefix + key: StoredTensor.of(value) for key, value in found.items()}


def adaface_checkpoint(own: dict, classes: int = 5) -> dict:
    """What Lightning writes for AdaFace: callbacks, hyper-parameters, loops, and the head beside the network."""
    generator = torch.Generator().manual_seed(1)
    head = {
        "head.kernel": torch.randn(D, classes, generator=generator),
        "head.t": torch.zeros(1),
        "head.batch_mean": torch.ones(1) * 17.5,
        "head.batch_std": torch.ones(1) * 3.25,
    }
    return {
        "epoch": 25,
        "global_step": 1234,
        "pytorch-lightning_version": "1.4.4",
        "state_dict": OrderedDict({**own, **head}),
        "callbacks": {ModelCheckpoint: {"best_model_score": torch.tensor(0.9), "dirpath": pathlib.Path("x")}},
        "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [{"milestones": __import__("collections").Counter({12: 1}), "_last_lr": [np.float64(0.1)]}],
        "hyper_parameters": argparse.Namespace(arch="ir_18", lr=0.1, head="adaface", seen={1, 2}, scores=np.ones(3)),
    }


def features(backbone, images_bchw: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return backbone(torch.from_numpy(images_bchw)).numpy()


def pixels(count: int = 3, size: int = SIZE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def expected_embedding(backbone, images: np.ndarray, bgr: bool, mean: float, std: float) -> np.ndarray:
    """The features of pixels (N, H, W, 3) fed as a project's own code feeds them."""
    turned = images[..., ::-1] if bgr else images
    return features(backbone, ((turned.transpose(0, 3, 1, 2).astype(np.float64) - mean) / std).astype(np.float32))
