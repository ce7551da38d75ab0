"""A head, given its labels on the host, waits for no device; what of the devices does not fit is said."""

import copy
from contextlib import suppress

import pytest
import torch
import torch.distributed as dist

from facemargin.errors import ConfigError, DataError
from facemargin.heads import create_head
from facemargin.heads.collectives import host_device
from facemargin.heads.softmax_terms import own_target_cosines, softmax_terms
from facemargin.margins import list_margins
from facemargin.quality.crfiqa import quality_loss
from tests.waits import Waits, WaitsForDeviceError

LABELS = {
    "all labelled": torch.tensor([0, 3, 3, 9, 10, 7]),
    "some unlabelled": torch.tensor([0, -1, 3, 9, -1, 7]),
    "none labelled": torch.full((6,), -1),
}
META = torch.device("meta")


def step(head, features, labels):
    out = head(features, labels)
    quality = quality_loss(features.sum(1), out.target_cosine_B, out.hardest_negative_B)
    (out.loss + quality).backward()


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, {"hardest_class": number % 2 == 0}) for number, name in enumerate(list_margins())]
    + [("funface", {"interclass_filtering_threshold": 0.3, "hardest_class": known}) for known in (False, True)],
)
def test_no_margin_waits_for_the_device(name, settings, implementation, labels):
    head = create_head(name, 11, 8, implementation=implementation, **settings).to(META)
    with Waits() as waits:
        for _ in range(2):
            step(head, torch.empty(6, 8, device=META, requires_grad=True), LABELS[labels])
    assert waits.found == []
    assert head.weight.grad.device == META


WAITS = {
    "a value": lambda head, x, y: float(head(x, y).loss),
    "a list": lambda head, x, y: head(x, y).losses_B.tolist(),
    "a decision": lambda head, x, y: bool(head(x, y).loss.isfinite()),
    "a mask": lambda head, x, y: x[head(x, y).losses_B > 0],
    "a masked write": lambda head, x, y: x.detach().index_put_((x[:, 0] > 0,), torch.zeros((), device=META)),
    "distinct values": lambda head, x, y: x.detach().unique(),
}
COPIES = {
    "to the host": lambda x: x.detach().cpu(),
    "from pageable memory": lambda x: torch.zeros(3).to(META),
    "numbers": lambda x: torch.tensor([1.0, 2.0], device=META),
    "new numbers": lambda x: x.new_tensor([1.0]),
}


@pytest.mark.parametrize("what", WAITS)
def test_the_test_finds_what_waits_for_values(what):
    head = create_head("arcface", 11, 8).to(META)
    x = torch.empty(6, 8, device=META, requires_grad=True)
    with Waits() as waits, suppress(WaitsForDeviceError):
        WAITS[what](head, x, LABELS["all labelled"])
    assert len(waits.found) == 1


@pytest.mark.parametrize("what", COPIES)
def test_the_test_finds_copies_that_wait(what):
    with Waits() as waits:
        COPIES[what](torch.empty(6, 8, device=META, requires_grad=True))
    assert len(waits.found) == 1


def test_labels_on_the_device_are_fetched_first():
    head = create_head("arcface", 11, 8).to(META)
    with Waits() as waits:
        head(torch.empty(6, 8, device=META), torch.zeros(6, dtype=torch.int64, device=META))
    assert [found.split()[0] for found in waits.found] == ["aten::_to_copy"]


def test_elasticface_keeps_its_step_on_the_host_wherever_it_goes():
    head = create_head("elasticface_arc", 11, 8)
    head(torch.ones(2, 8), [0, 1])
    moved = copy.deepcopy(head).to(META)
    assert moved.margin.step.device.type == "cpu" and moved.margin.step == 1
    assert list(moved.state_dict()) == list(head.state_dict()) == ["weight", "margin.step"]


@pytest.mark.parametrize("elsewhere", range(4))
def test_terms_of_tensors_on_different_devices_are_refused(elsewhere):
    tensors = [torch.eye(2, 4), torch.eye(3, 4), torch.tensor([0, 1]), torch.full((2,), 64.0)]
    tensors[elsewhere] = tensors[elsewhere].to(META)
    with pytest.raises(DataError, match=r"features are on .*meta.*: expected all on one device; the labels may be on"):
        softmax_terms(*tensors)


def test_own_cosines_leave_out_classes_of_other_shards():
    x = torch.nn.functional.normalize(torch.randn(5, 8, dtype=torch.float64))
    w = torch.randn(3, 8, dtype=torch.float64)
    y = torch.tensor([0, -4, 2, 3, 1])
    cosine = own_target_cosines(x, w, y)
    for i, label in enumerate(y.tolist()):
        expected = float(x[i] @ w[label]) / float(w[label].norm()) if 0 <= label < 3 else 0.0
        assert float(cosine[i]) == pytest.approx(expected, abs=1e-14)
    assert own_target_cosines(x, w[:0], y).tolist() == [0.0] * 5


@pytest.mark.parametrize(("backend", "where"), [("gloo", "cpu"), ("cpu:gloo,cuda:gloo", "cpu"), ("cuda:gloo", "cuda")])
def test_the_host_exchanges_on_the_cpu_where_the_group_can(backend, where):
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
    try:
        assert host_device(torch.device("cuda"), dist.group.WORLD).type == where
    finally:
        dist.destroy_process_group()


def test_a_group_that_cannot_exchange_the_heads_tensors_is_refused():
    """As a group with nccl alone, and a head on the CPU: torch would fail deep inside, or hang."""
    dist.init_process_group("cuda:gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        for options in ({}, {"sample_rate": 0.5}):
            head = create_head("arcface", 11, 8, process_group=dist.group.WORLD, **options)
            with pytest.raises(ConfigError, match="exchanges tensors on cuda only, but the head is on cpu: move head"):
                head.begin_step([1]) if options else head(torch.ones(1, 8), [1])
    finally:
        dist.destroy_process_group()
