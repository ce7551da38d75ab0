"""Two networks of other projects, wrapped as their users would: features, accuracy, and what comes after."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import facemargin as fm
from facemargin.interop.reading import read_checkpoint_file
from facemargin.models.folding import FoldedBackbone

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
WEIGHTS = SHARED / "weights"
BLOCKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not WEIGHTS.is_dir(), reason=f"{WEIGHTS} is absent")]


def named(**layers):
    block = nn.Sequential()
    for name, layer in layers.items():
        block.add_module(name, layer)
    return block


def conv(inp, out, size, stride=1, padding=0, groups=1):
    return nn.Conv2d(inp, out, size, stride, padding, groups=groups, bias=False)


class Bottleneck(nn.Module):
    def __init__(self, layers, adds):
        super().__init__()
        self.conv, self.adds = nn.Sequential(*layers), adds

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


def bottlenecks(layers_of):
    blocks, inp = [], 64
    for times, out, count, first in BLOCKS:
        for stride in [first] + [1] * (count - 1):
            blocks.append(Bottleneck(layers_of(inp, out, stride, inp * times), stride == 1 and inp == out))
            inp = out
    return nn.Sequential(*blocks)


class Xiaoccer(nn.Module):
    def __init__(self):
        super().__init__()

        def block(inp, out, *settings):
            return named(conv=conv(inp, out, *settings), bn=nn.BatchNorm2d(out), prelu=nn.PReLU(out))

        def layers(inp, out, stride, wide):
            first = [conv(inp, wide, 1), nn.BatchNorm2d(wide), nn.PReLU(wide)]
            middle = [conv(wide, wide, 3, stride, 1, wide), nn.BatchNorm2d(wide), nn.PReLU(wide)]
            return [*first, *middle, conv(wide, out, 1), nn.BatchNorm2d(out)]

        self.conv1, self.dw_conv1, self.blocks = block(3, 64, 3, 2, 1), block(64, 64, 3, 1, 1, 64), bottlenecks(layers)
        self.conv2 = block(128, 512, 1)
        self.linear7 = named(conv=conv(512, 512, (7, 6), groups=512), bn=nn.BatchNorm2d(512))
        self.linear1 = named(conv=conv(512, 128, 1), bn=nn.BatchNorm2d(128))

    def forward(self, x):
        x = self.linear1(self.linear7(self.conv2(self.blocks(self.dw_conv1(self.conv1(x))))))
        return x.view(x.size(0), -1)


class Foamliu(nn.Module):
    def __init__(self):
        super().__init__()

        def block(inp, out, *settings):
            return nn.Sequential(conv(inp, out, *settings), nn.BatchNorm2d(out), nn.ReLU6())

        def layers(inp, out, stride, wide):
            return [block(inp, wide, 1), block(wide, wide, 3, stride, 1, wide), conv(wide, out, 1), nn.BatchNorm2d(out)]

        self.conv1, self.features, self.conv2 = block(3, 64, 3, 2, 1), bottlenecks(layers), block(128, 512, 1)
        depthwise, pointwise = conv(64, 64, 3, 1, 1, 64), conv(64, 64, 1)
        self.dw_conv = named(
            depthwise=depthwise, bn1=nn.BatchNorm2d(64), relu1=nn.ReLU(), pointwise=pointwise,
            bn2=nn.BatchNorm2d(64), relu2=nn.ReLU(),
        )  # fmt: skip
        self.gdconv = named(depthwise=conv(512, 512, 7, groups=512), bn=nn.BatchNorm2d(512))
        self.conv3, self.bn = nn.Conv2d(512, 128, 1), nn.BatchNorm1d(128)

    def forward(self, x):
        return self.bn(self.conv3(self.gdconv(self.conv2(self.features(self.dw_conv(self.conv1(x)))))).flatten(1))


class Concatenated(nn.Module):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return torch.cat([self.network(images), self.network(images.flip(3))], 1)


def with_weights(network, file, entry=None):
    content = read_checkpoint_file(WEIGHTS / file)
    stored = content if entry is None else content[entry]
    network.load_state_dict({name: tensor.read() for name, tensor in stored.items()})
    return network


@pytest.fixture(scope="module")
def xiaoccer():
    return with_weights(Xiaoccer(), "mobilefacenet_xiaoccer.ckpt", "net_state_dict")


@pytest.fixture(scope="module")
def models(xiaoccer):
    foamliu = with_weights(Foamliu(), "mobilefacenet_foamliu.pt")
    return {
        "xiaoccer": fm.wrap(xiaoccer, (112, 96), mean=127.5, std=128),
        "foamliu": fm.wrap(foamliu, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)),
    }


def test_the_vectors_are_those_of_the_authors_code(xiaoccer):
    with np.load(SHARED / "lfw" / "mobilefacenet_embeddings.npz", allow_pickle=False) as archive:
        paths, expected = archive["paths"][::300], archive["embeddings"][::300]
    model = fm.wrap(Concatenated(xiaoccer), (112, 96), mean=127.5, std=128, views="one")
    found = model.embed([SHARED / "lfw" / "images" / path for path in paths.tolist()])
    assert len(paths) > 15 and found.vectors.shape == (len(paths), 256)
    np.testing.assert_allclose(found.vectors * found.norms[:, None], expected, atol=1e-4)


@pytest.mark.parametrize("name", ["xiaoccer", "foamliu"])
def test_people_are_told_apart_as_published(models, name):
    """On every third pair of a fold: at most four mistakes in 200, as .986 and .990 of all seven folds let expect."""
    pairs = fm.open_verification(SHARED / "lfw" / "lfw_fold1.bin")
    first_K, second_K, same_K = (values[::3] for values in (pairs.first_K, pairs.second_K, pairs.same_K))
    needed, rows = np.unique(np.concatenate([first_K, second_K]), return_inverse=True)
    vectors = models[name].embed([pairs.images.read(index) for index in needed.tolist()], views="one").vectors
    scores_K = (vectors[rows[: len(first_K)]] * vectors[rows[len(first_K) :]]).sum(1)
    assert len(same_K) == 200 and 80 < same_K.sum() < 120
    assert max(np.mean((scores_K >= threshold) == same_K) for threshold in scores_K) >= 0.98


@pytest.mark.parametrize("name", ["xiaoccer", "foamliu"])
def test_it_is_exported_and_its_norm_follows_the_quality(models, name, tmp_path):
    pairs = fm.open_verification(SHARED / "lfw" / "lfw_fold1.bin")
    faces = [pairs.images.read(index) for index in range(0, len(pairs.images), len(pairs.images) // 12)]
    model = models[name]
    assert isinstance(model._fast.current().backbone, FoldedBackbone)
    assert fm.export_onnx(model, tmp_path / "own.onnx", preprocess=True, check=faces[:4]).largest < 1e-4
    noise = [np.random.default_rng(0).integers(0, 256, (112, 112, 3)).astype(np.uint8)]
    clear = model.embed(faces, views="one").quality
    assert model.embed(noise, views="one").quality[0] < np.sort(clear)[1]
