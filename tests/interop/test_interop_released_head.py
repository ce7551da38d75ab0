import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.errors import CheckpointError
from facemargin.heads.sharding import shard_range
from facemargin.interop import load_head
from facemargin.models.info import ModelInfo, save_model
from tests.interop.foreign_files import D, adaface_checkpoint

CLASSES = 5


def centers(seed=3, rows=CLASSES):
    return torch.randn(rows, D, generator=torch.Generator().manual_seed(seed))


def head(name="adaface", classes=CLASSES, size=D, **settings):
    torch.manual_seed(0)
    return fm.create_head(name, classes, size, **settings)


def saved(content, path):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("shard", [None, (3, 5)])
def test_sub_centers_go_to_a_head_of_as_many(tmp_path, shard):
    stored = centers(rows=CLASSES * 3).unflatten(0, (CLASSES, 3))
    path = saved({"weight": stored}, tmp_path / "a.pt")
    ours = head(sub_centers=3)
    if shard is not None:
        ours.class_range, ours.weight = shard, torch.nn.Parameter(ours.weight[slice(*shard)].detach())
    load_head(path, ours)
    assert torch.equal(ours.weight, stored[slice(*(shard or (0, CLASSES)))])
    for other, found in ((head(), 3), (head(sub_centers=2), 3)):
        before = other.weight.clone()
        with pytest.raises(CheckpointError, match=rf"a\.pt holds {found} centres of each class.*sub_centers .* to 3"):
            load_head(path, other)
        assert torch.equal(other.weight, before)
    with pytest.raises(CheckpointError, match="holds 1 centre of each class, the head has 3: set sub_centers"):
        load_head(saved({"weight": centers()}, tmp_path / "b.pt"), ours)


def test_adafaces_kernel_and_statistics(tmp_path):
    content = adaface_checkpoint({"model.x": torch.ones(1)})
    path, ours = saved(content, tmp_path / "a.ckpt"), head()
    found = load_head(path, ours)
    assert torch.equal(ours.weight, content["state_dict"]["head.kernel"].T)
    assert (float(ours.margin.norm_statistics.mean), float(ours.margin.norm_statistics.std)) == (17.5, 3.25)
    assert ours.margin.norm_statistics.mean.shape == ()
    assert (found.key, found.num_classes) == ("head.kernel", CLASSES)
    assert found.statistics == ("margin.norm_statistics.mean", "margin.norm_statistics.std")


def test_the_loss_continues_where_adafaces_was(tmp_path):
    """With its kernel and statistics the margin of a sample is that of AdaFace's own arithmetic, step by step."""
    content = adaface_checkpoint({"model.x": torch.ones(1)})
    ours = head()
    load_head(saved(content, tmp_path / "a.ckpt"), ours)
    features = torch.randn(4, D, generator=torch.Generator().manual_seed(9)) * 6
    labels = torch.tensor([0, 3, 4, 1])
    out = ours.eval()(features, labels)
    kernel = content["state_dict"]["head.kernel"].double().numpy()
    for row, label in enumerate(labels.tolist()):
        x = features[row].double().numpy()
        norm = min(max(np.sqrt((x**2).sum()), 0.001), 100)
        q = min(max((norm - 17.5) / (3.25 + 1e-3) * 0.333, -1), 1)
        logits = []
        for j in range(CLASSES):
            cosine = x @ kernel[:, j] / np.linalg.norm(x) / np.linalg.norm(kernel[:, j])
            if j == label:
                angle = min(max(np.arccos(cosine) - 0.4 * q, 1e-3), np.pi - 1e-3)
                cosine = np.cos(angle) - (0.4 + 0.4 * q)
            logits.append(64 * cosine)
        expected = np.logaddexp.reduce(logits) - logits[label]
        assert float(out.losses_B[row].detach()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": {"parallel_fc.weight": centers(), "features.module.x": torch.ones(1)}},
        {"state_dict": {"module.fc.weight": centers().T.contiguous(), "module.features.x": torch.ones(1)}},
        {"state_dict": {"module.fc.weight": centers()}},  # either way round: the shape says which
        {"weight": centers()},  # softmax_fc_gpu_0.pt of one process
        {"state_dict_softmax_fc": {"weight": centers().half().float()}, "state_dict_backbone": {}, "epoch": 1},
    ],
)
def test_centres_of_other_projects(tmp_path, content):
    ours = head("magface")
    found = load_head(str(saved(content, tmp_path / "x.pth")), ours)
    torch.testing.assert_close(ours.weight.detach(), centers(), rtol=1e-3, atol=1e-3)
    assert found.statistics == () and ours.weight.requires_grad


@pytest.mark.parametrize(("key", "turned"), [("module.fc.weight", True), ("parallel_fc.weight", False)])
def test_as_many_classes_as_values_go_by_the_key(tmp_path, key, turned):
    square = centers(rows=D)
    ours = head("magface", D)
    load_head(saved({"state_dict": {key: square}}, tmp_path / "x.pth"), ours)
    assert torch.equal(ours.weight, square.T if turned else square)


@pytest.mark.parametrize("name", ["softmax_fc_gpu_{}.pt", "checkpoint_gpu_{}.pt"])
def test_the_shards_of_insightfaces_processes_are_joined(tmp_path, name):
    for rank, part in enumerate(centers().split([2, 2, 1])):
        content = {"weight": part} if "softmax" in name else {"state_dict_softmax_fc": {"weight": part}}
        saved(content, tmp_path / name.format(rank))
    ours = head("cosface")
    assert load_head(tmp_path / name.format(0), ours).num_classes == CLASSES
    assert torch.equal(ours.weight, centers())
    saved({"other": centers()}, tmp_path / name.format(1))
    with pytest.raises(CheckpointError, match=r"_gpu_1\.pt does not have weight, but .*_gpu_0\.pt has"):
        load_head(tmp_path / name.format(0), head("cosface"))


class FakeGroup:
    """As much of a process group as a head needs to know which classes are its own."""

    def __init__(self, rank, size):
        self._rank, self._size = rank, size

    def rank(self):
        return self._rank

    def size(self):
        return self._size


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_every_process_takes_its_own_rows(tmp_path, processes):
    ada = saved(adaface_checkpoint({"model.x": torch.ones(1)}), tmp_path / "a.ckpt")
    for rank, part in enumerate(centers().split([2, 2, 1])):
        saved({"weight": part}, tmp_path / f"softmax_fc_gpu_{rank}.pt")
    kernel = adaface_checkpoint({})["state_dict"]["head.kernel"]
    for path, expected in ((ada, kernel.T), (tmp_path / "softmax_fc_gpu_0.pt", centers())):
        rows = []
        for rank in range(processes):
            ours = head(process_group=FakeGroup(rank, processes))
            assert ours.class_range == shard_range(CLASSES, rank, processes)
            load_head(path, ours)
            rows.append(ours.weight.detach())
        assert torch.equal(torch.cat(rows), expected)


def test_our_own_head_goes_on_with_all_its_statistics(tmp_path):
    ours = head("funface")
    ours.train()(torch.randn(6, D) * 9, torch.arange(6) % CLASSES)
    info = ModelInfo(backbone="small_resnet", options={}, embedding_size=D, input_size=16, loss="funface")
    save_model(tmp_path / "head.safetensors", ours.state_dict(), info)
    other = head("funface")
    found = load_head(tmp_path / "head.safetensors", other)
    for key, value in ours.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
    assert len(found.statistics) == 4
    assert len(load_head(tmp_path / "head.safetensors", head("adaface")).statistics) == 2
    assert load_head(tmp_path / "head.safetensors", head("cosface")).statistics == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": centers(rows=4)}, r"the centres of 4 classes of 8 values, the head has 5 of 8.*training set"),
        ({"weight": torch.ones(CLASSES, 4)}, "5 classes of 4 values, the head has 5 of 8"),
        ({"weight": torch.ones(CLASSES)}, "holds no class centres: expected one of head.kernel"),
        ({"a": torch.ones(2, 2)}, "found a"),
        ({}, "found none"),
        ({"weight": torch.full((CLASSES, D), float("inf"))}, "not finite"),
    ],
)
def test_heads_that_do_not_fit_are_explained_and_nothing_changes(tmp_path, content, message):
    ours = head()
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    with pytest.raises(CheckpointError, match=rf"x\.pth.*{message}"):
        load_head(saved(content, tmp_path / "x.pth"), ours)
    for key, value in before.items():
        assert torch.equal(ours.state_dict()[key], value)


def test_sampled_heads_take_them_too(tmp_path):
    ours = head("cosface", sample_rate=0.5)
    load_head(saved({"weight": centers()}, tmp_path / "x.pth"), ours)
    assert torch.equal(ours.weight, centers()) and not ours.weight.requires_grad
    ours.train()(torch.randn(3, D), torch.tensor([0, 1, 2])).loss.backward()
    ours.step(0.1)
    assert not torch.equal(ours.weight, centers())
