"""What a plan says is exchanged, against the tensors that real processes hand to torch.distributed in a step."""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from torch import nn

from facemargin.backbones import create_backbone
from facemargin.heads import collectives, create_head, sharding
from facemargin.margins import list_margins
from facemargin.planning.backbone_cost import measure_backbone
from facemargin.planning.collectives import Collective, backbone_collectives, head_collectives
from facemargin.planning.job import Job, margin_facts
from facemargin.training.processes import Processes
from tests.processes import run_processes

BATCH, D, CLASSES = 4, 16, 23
# What torch.distributed has beside the three that are counted; none of it may be used in a step.
OTHERS = (
    "all_gather", "all_gather_object", "all_to_all_single", "broadcast", "gather", "reduce", "reduce_scatter", "send"
)  # fmt: skip


@contextmanager
def exchanged():
    """Collects (operation, bytes of the whole tensor) of every collective called within, in the backward pass too."""
    found = []

    def counted(operation, function):
        def call(*tensors, **options):
            found.append((operation, max(tensor.nbytes for tensor in tensors if isinstance(tensor, torch.Tensor))))
            return function(*tensors, **options)

        return call

    def unexpected(*_, **__):
        raise AssertionError("a collective that is not counted")

    with ExitStack() as patches:
        gather = counted("all-gather", collectives.all_gather)
        scatter = counted("reduce-scatter", collectives.reduce_scatter)
        patches.enter_context(patch.multiple(collectives, all_gather=gather, reduce_scatter=scatter))
        patches.enter_context(patch.object(sharding, "all_gather", gather))
        patches.enter_context(patch.object(dist, "all_reduce", counted("all-reduce", dist.all_reduce)))
        patches.enter_context(patch.multiple(dist, **dict.fromkeys(OTHERS, unexpected)))
        yield found


def exchanges_of_heads(group, margins, sample_rate, recorder=False):
    """{margin: what a step of its head exchanges}, in order."""
    found = {}
    for margin in margins:
        head = create_head(margin, CLASSES, D, process_group=group, sample_rate=sample_rate, hardest_class=recorder)
        features = torch.randn(BATCH, D, requires_grad=True)
        labels = torch.arange(BATCH)
        with exchanged() as step:
            head.begin_step(labels)
            head(features, labels).loss.backward()
            head.step(0.1)
        found[margin] = step
    return found


def exchanges_of_a_step(group):
    """What the whole step of a small network with a class-parallel head exchanges, in order."""
    processes = Processes(torch.device("cpu"), group)
    backbone = create_backbone("small_resnet", D)
    replica = processes.replicate(backbone)
    head = create_head("curricularface", CLASSES, D, process_group=group)
    with exchanged() as step:
        head(replica(torch.randn(BATCH, 3, 64, 64)), torch.arange(BATCH)).loss.backward()
        processes.average_([buffer for buffer in backbone.buffers() if buffer.is_floating_point()])
    return step


class WithHead(nn.Module):
    """A backbone and a whole head, to be replicated together."""

    def __init__(self):
        super().__init__()
        self.backbone = create_backbone("small_resnet", D)
        self.head = create_head("arcface", CLASSES, D)

    def forward(self, images, labels):
        return self.head(self.backbone(images), labels).loss


def exchanges_of_a_dense_step(group):
    processes = Processes(torch.device("cpu"), group)
    network = WithHead()
    replica = processes.replicate(network)
    with exchanged() as step:
        replica(torch.randn(BATCH, 3, 64, 64), torch.arange(BATCH)).backward()
        processes.average_([buffer for buffer in network.backbone.buffers() if buffer.is_floating_point()])
    return step


def job_of(processes, **changes):
    return Job(**{"classes": CLASSES, "embedding_size": D, "batch": BATCH, "gpus": processes} | changes)


def planned(collectives):
    return [(one.operation, one.bytes) for one in collectives]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_the_class_parallel_head_exchanges_what_is_planned(processes):
    if processes == 1:
        measured = [exchanges_of_heads(None, list_margins(), 1.0)]
    else:
        measured = run_processes(exchanges_of_heads, processes, list_margins(), 1.0)
    assert len(measured) == processes
    for of_process in measured:
        assert of_process.keys() == set(list_margins())
        for margin, exchanges in of_process.items():
            expected = planned(head_collectives(job_of(processes), "class-parallel", margin_facts(margin)))
            assert exchanges == expected, margin
            assert len(exchanges) >= (6 if processes > 1 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("recorder", [False, True])
def test_the_sampled_head_exchanges_what_is_planned(recorder):
    for of_process in run_processes(exchanges_of_heads, 2, ["funface", "lh2face"], 0.5, recorder):
        for margin, exchanges in of_process.items():
            job = job_of(2, recorder=recorder)
            assert exchanges == planned(head_collectives(job, "sampled", margin_facts(margin))), margin


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 3])
def test_a_whole_step_exchanges_what_is_planned(processes):
    job, backbone = job_of(processes), measure_backbone("small_resnet", D, "float32")
    head = head_collectives(job, "class-parallel", margin_facts("curricularface"))
    gradient, statistics = planned(backbone_collectives(job, backbone))
    for exchanges in run_processes(exchanges_of_a_step, processes):
        assert exchanges[: len(head)] == planned(head)
        *buckets, last = exchanges[len(head) :]
        assert {operation for operation, _ in buckets} == {gradient[0]}
        assert sum(size for _, size in buckets) == gradient[1]
        assert last == statistics


@pytest.mark.slow
def test_a_replicated_head_exchanges_its_gradient():
    job, backbone = job_of(2), measure_backbone("small_resnet", D, "float32")
    expected = planned([*head_collectives(job, "dense", margin_facts("arcface")), *backbone_collectives(job, backbone)])
    for exchanges in run_processes(exchanges_of_a_dense_step, 2):
        # The centres' gradient is exchanged in the buckets of the backbone's.
        assert {operation for operation, _ in exchanges} == {"all-reduce"}
        assert sum(size for _, size in exchanges) == sum(size for _, size in expected)
        assert expected[0] == ("all-reduce", CLASSES * D * 4)


@pytest.mark.parametrize("processes", [1, 2, 3, 7])
def test_a_ring_sends_the_share_that_is_counted(processes):
    # Each process starts with one of P blocks; in every round it passes on the one that it received last.
    size = 8 * 3 * 5 * 7 * 4
    block = size / processes
    have = [{rank} for rank in range(processes)]
    last, sent = list(range(processes)), [0.0] * processes
    while any(len(blocks) < processes for blocks in have):
        for rank in range(processes):
            sent[rank] += block
        last = [last[rank - 1] for rank in range(processes)]
        for rank in range(processes):
            have[rank].add(last[rank])
    for operation, rounds in (("all-gather", 1), ("reduce-scatter", 1), ("all-reduce", 2)):
        counted = Collective("", operation, size).sent(processes)
        assert all(counted == pytest.approx(rounds * one) for one in sent)


def test_what_a_class_parallel_head_sends_does_not_grow_with_the_classes():
    facts = margin_facts("funface")
    few, many = (head_collectives(job_of(4, classes=c), "class-parallel", facts) for c in (100, 10**8))
    assert few == many
    dense = head_collectives(job_of(4, classes=10**8), "dense", facts)
    assert sum(one.sent(4) for one in dense) > 1e6 * sum(one.sent(4) for one in many)
