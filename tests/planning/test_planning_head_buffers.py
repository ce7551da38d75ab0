"""The head's buffers and memory traffic against those of real heads on the CPU."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from facemargin.errors import ConfigError
from facemargin.heads import BroadFaceConfig, VPLConfig, choice, chunked, create_head, rounded_products, triton
from facemargin.heads.softmax_terms import IMPLEMENTATIONS
from facemargin.planning import head_buffers as planned
from facemargin.planning.hardware import find_hardware
from facemargin.planning.head_memory import memory_buffers, memory_operations, memory_state
from facemargin.planning.head_operations import head_operations
from facemargin.planning.head_shape import HeadShape, head_shape
from facemargin.planning.job import Job, margin_facts
from tests.planning.memory_profile import peak_memory

# A constant margin, one that re-weights negatives, one with a learned scale, one with that and the centres themselves.
MARGINS = ["funface", "curricularface", "sphereface", "lh2face"]
# (B, C, D): the cosines beside the centres from a quarter to eight times as many.
SHAPES = [(64, 20_000, 32), (64, 20_000, 128), (256, 60_000, 32), (512, 3_000, 128), (16, 60_000, 64)]


@pytest.fixture(autouse=True)
def all_implementations(monkeypatch):
    """Whether or not recipes may name it already."""
    monkeypatch.setitem(IMPLEMENTATIONS, "recomputed", chunked.softmax_terms_recomputed)


def step_of(margin, implementation, samples, classes, size, sub_centers=1, **options):
    """A function that does a head's forward and backward pass, and the head."""
    head = create_head(margin, classes, size, implementation=implementation, sub_centers=sub_centers, **options)
    features = torch.randn(samples, size, requires_grad=True)
    labels = torch.arange(samples)

    def step():
        head(features, labels).loss.backward()

    return step, head


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("implementation", ["eager", "chunked", "recomputed"])
def test_buffers_are_the_peak_of_a_real_step(implementation, margin, shape):
    samples, classes, size = shape
    if implementation == "eager" and samples * classes > 2**23:
        pytest.skip("a whole matrix of that size is not what eager is for")
    step, head = step_of(margin, implementation, *shape)
    measured = peak_memory(step) - head.weight.nbytes  # the gradient
    counted = planned.head_buffers(
        HeadShape(classes, classes, samples, size, gathered=False), margin_facts(margin), implementation, "cpu"
    )
    assert measured == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize(("margin", "k"), [("funface", 3), ("sphereface2", 1), ("uniface", 1), ("uniface", 3)])
def test_sub_centers_and_binary_classification(implementation, margin, k):
    samples, classes, size = 64, 20_000, 32
    step, head = step_of(margin, implementation, samples, classes, size, k)
    shape, facts = HeadShape(k * classes, k * classes, samples, size, False, k), margin_facts(margin)
    measured = peak_memory(step) - head.weight.nbytes
    assert planned.head_buffers(shape, facts, implementation, "cpu") == pytest.approx(measured, rel=0.1)
    with Traffic() as traffic:
        step()
    bytes_of_step = sum(operation.bytes for operation in head_operations(shape, facts, implementation))
    assert bytes_of_step == pytest.approx(traffic.bytes, rel=0.1)


def test_what_triton_cannot_is_never_planned():
    large, h100 = HeadShape(10**7, 10**7, 512, 16, False, 2), find_hardware("h100")
    assert planned.chosen_implementation("auto", HeadShape(10**7, 10**7, 512, 16, False), h100) == "triton"
    assert planned.chosen_implementation("auto", large, h100) == "chunked"
    assert (
        planned.chosen_implementation("auto", HeadShape(10**7, 10**7, 512, 16, False), h100, binary=True) == "chunked"
    )
    with pytest.raises(ConfigError, match="no kernels for sub-centres"):
        planned.chosen_implementation("triton", large, h100)


def test_a_job_of_sub_centers_holds_all_of_them():
    for kind, active in (("dense", 3000), ("class-parallel", 1500), ("sampled", 1500 * 0.2)):
        job = Job(classes=1000, gpus=2, batch=4, embedding_size=8, sub_centers=3, sample_rate=0.2)
        shape = head_shape(job, kind)
        assert (shape.active_rows, shape.active_classes) == (active, active / 3)
        assert shape.rows == (3000 if kind == "dense" else 1500)


def test_recomputed_is_bounded_and_chunked_keeps_the_cosines():
    facts = margin_facts("funface")
    shape = HeadShape(10**7, 10**7, 512, 16, gathered=False)
    beside = 4 * (2 * shape.rows + 6 * shape.samples * 16)
    recomputed = planned.head_buffers(shape, facts, "recomputed", "cpu") - beside
    assert 2**25 < recomputed < 2**26
    small = HeadShape(100_000, 100_000, 512, 16, gathered=False)
    chunked_bytes = planned.head_buffers(small, facts, "chunked", "cpu") - 4 * 6 * small.samples * 16
    assert 0 <= chunked_bytes - 4 * small.cosines <= 2 * 4 * 2**19 + 4 * 3 * small.rows
    # Never more than its share: the plan's largest is 4 GB of cosines and three chunks of 256 MB.
    assert planned.head_buffers(shape, facts, "chunked") < 2**32 + 3 * 2**28 + 4 * 3 * shape.rows + 2**20


def test_triton_s_workspace_is_bounded():
    facts = margin_facts("arcface")
    for samples, classes in ((512, 10**7), (16_384, 10**6), (64, 1000)):
        counted = planned.head_buffers(HeadShape(classes, classes, samples, 16, False), facts, "triton")
        beside = 4 * (classes + 3 * samples * 16)
        assert 0 < counted - beside <= min(2**28, 4 * samples * classes)


def test_sizes_are_those_of_the_heads():
    assert planned.CHUNK_COSINES == chunked._CHUNK_COSINES
    assert planned.KEPT_BYTES == chunked._KEPT_BYTES
    assert planned.KEPT_BYTES_RECOMPUTED == chunked._KEPT_BYTES_BOUNDED
    assert triton.WORKSPACE_ENTRIES == planned.TRITON_ENTRIES
    assert planned.LARGEST_EAGER_PRODUCT == choice.LARGEST_EAGER_PRODUCT
    assert set(IMPLEMENTATIONS) == set(planned.Implementation.__args__)


class Traffic(TorchDispatchMode):
    """Bytes that the operations within read and write, but for those that touch only a sample's places in a matrix."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function._schema.name
        if function.namespace == "aten" and not function.is_view and not any(w in name for w in ("empty", "index")):
            read = [value for key, value in (kwargs or {}).items() if key != "out"]
            tensors = [value for value in tree_leaves((args, read, result)) if isinstance(value, torch.Tensor)]
            self.bytes += sum(tensor.nbytes for tensor in tensors)
        return result


@pytest.mark.parametrize("shape", [(128, 20_000, 32), (64, 20_000, 128)], ids=str)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("implementation", ["eager", "chunked"])
def test_the_traffic_is_that_of_a_real_step(implementation, margin, shape):
    samples, classes, size = shape
    step, _ = step_of(margin, implementation, *shape)
    with Traffic() as traffic:
        step()
    # A matrix that stays in a CPU's cache is read and written all the same: a GPU's plan counts it.
    operations = head_operations(
        HeadShape(classes, classes, samples, size, gathered=False), margin_facts(margin), implementation
    )
    assert sum(operation.bytes for operation in operations) == pytest.approx(traffic.bytes, rel=0.05)


def test_products_are_three_and_one_more_where_cosines_are_not_kept():
    shape = HeadShape(10**7, 10**7, 512, 512, gathered=False)
    facts = margin_facts("adaface")
    products = {
        name: sum(o.flops for o in head_operations(shape, facts, name)) / (2 * 512 * 10**7 * 512)
        for name in ("eager", "chunked", "recomputed", "triton")
    }
    kept = 2**32 / (4 * 512 * 10**7)
    assert products["eager"] == 3 and products["triton"] == 4
    assert products["chunked"] == pytest.approx(4 - kept, abs=0.02)
    assert 3.95 < products["recomputed"] <= 4
    on_cpu = head_operations(shape, facts, "chunked", "cpu")
    assert sum(o.bytes for o in on_cpu) < 10 * 4 * 10**7 * 512


@pytest.mark.parametrize("implementation", ["chunked", "recomputed"])
@pytest.mark.parametrize(("margin", "k"), [("funface", 1), ("funface", 3), ("sphereface2", 1)])
def test_bf16_in_backward_holds_rounded_factors_too(monkeypatch, implementation, margin, k):
    monkeypatch.setattr(rounded_products, "computes_bf16", lambda device: True)
    samples, classes, size = 64, 20_000, 128
    step, head = step_of(margin, implementation, samples, classes, size, k, backward="bf16")
    shape, facts = HeadShape(k * classes, k * classes, samples, size, False, k), margin_facts(margin)
    measured = peak_memory(step) - head.weight.nbytes
    counted, without = (
        planned.head_buffers(shape, facts, implementation, "cpu", backward) for backward in ("bf16", "float32")
    )
    assert counted == pytest.approx(measured, rel=0.1)
    assert measured > 1.05 * without


def test_bf16_needs_half_a_workspace_more_in_triton():
    facts, shape = margin_facts("arcface"), HeadShape(10**6, 10**6, 1024, 512, False)
    more = planned.head_buffers(shape, facts, "triton", backward="bf16") - planned.head_buffers(shape, facts, "triton")
    assert more == 2**27 + 2 * 2**16 * 512 + 6 * 1024 * 512  # G, a chunk's centres, the features


MEMORIES = {"broadface": BroadFaceConfig(queue_size=600), "vpl": VPLConfig(start=1)}


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("memory", MEMORIES)
def test_a_memory_of_earlier_batches(memory, implementation):
    samples, classes, size = 64, 5_000, 64
    step, head = step_of("arcface", implementation, samples, classes, size, memory=MEMORIES[memory])
    for _ in range(10):  # until the queue is full
        head.zero_grad()
        step()
    job = Job(classes=classes, embedding_size=size, batch=samples, gpus=1, head_memory=memory, queue_size=600)
    shape, facts = head_shape(job, "class-parallel"), margin_facts("arcface")
    on_device = [v for name, v in head.memory.named_buffers() if name not in head.memory.on_host]
    assert memory_state(job, shape) == sum(values.nbytes for values in on_device)
    head.zero_grad()
    measured = peak_memory(step) - head.weight.nbytes
    of_batch = planned.head_buffers(shape, facts, implementation, "cpu")
    counted = of_batch + memory_buffers(job, shape, facts, implementation, "cpu")
    assert 0.78 * counted < measured < 1.02 * counted  # batch and queue do not have all their buffers at the same time
    head.zero_grad()
    with Traffic() as traffic:
        step()
    operations = [
        *head_operations(shape, facts, implementation),
        *memory_operations(job, shape, facts, implementation, "cuda"),
    ]
    assert sum(operation.bytes for operation in operations) == pytest.approx(traffic.bytes, rel=0.15)
