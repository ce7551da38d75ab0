"""Whole plans: times by hand, what fits by trying, and what others measured."""

import pytest

from facemargin.errors import ConfigError
from facemargin.planning.backbone_cost import BackboneCost, ScaledOperation, measure_backbone
from facemargin.planning.hardware import Efficiency, find_hardware
from facemargin.planning.head_buffers import LARGEST_EAGER_PRODUCT, chosen_implementation
from facemargin.planning.head_operations import head_operations
from facemargin.planning.head_shape import head_shape
from facemargin.planning.job import Job, margin_facts
from facemargin.planning.machine import Machine
from facemargin.planning.plan import make_plan
from facemargin.planning.step_memory import step_memory

# A network of round numbers: 10 GFLOP forward and 20 backward for an image, of which it keeps 50 MB.
COST = BackboneCost(
    name="round", precision="bf16", parameters=50_000_000, trained=50_000_000, trained_tensors=100, buffers=0,
    fixed_bytes=100_000_000, image_bytes=50_000_000,
    forward=(ScaledOperation(10e9, 0, 0, half=True),), backward=(ScaledOperation(20e9, 0, 0, half=True),),
)  # fmt: skip
PERFECT = Machine(
    hardware=find_hardware("custom", tflops=100, memory=80, bandwidth=1000, link=100, network=10),
    efficiency=Efficiency(compute=1, memory=1, communication=1),
)


def heads_of(job, cost=COST, machine=PERFECT, **options):
    return {head.kind: head for head in make_plan(job, cost, machine, **options).heads}


def total_of(job, kind):
    """The memory of one head of the job, without a plan around it."""
    shape = head_shape(job, kind)
    return step_memory(
        job, kind, shape, COST, margin_facts("funface"), chosen_implementation("auto", shape, PERFECT.hardware)
    ).total


def test_times_add_up_as_by_hand():
    job = Job(classes=1_000_000, gpus=16, gpus_per_node=8, batch=100)
    head = heads_of(job)["class-parallel"]
    time = head.time
    assert time.backbone_forward == pytest.approx(100 * 10e9 / 100e12)
    assert time.backbone_backward == pytest.approx(100 * 20e9 / 100e12)
    # 200 MB of gradient, 2·15/16 times, over 10 GB/s between two nodes.
    assert time.gradient_exchange == pytest.approx(2 * 15 / 16 * 200e6 / 10e9)
    assert time.exposed_exchange == pytest.approx(time.gradient_exchange - time.backbone_backward)
    # The features of 1600 images and their gradient are most of what the head exchanges.
    features = 2 * 15 / 16 * 1600 * 512 * 4 / 10e9
    assert features < time.head_exchange < 1.2 * features
    # SGD reads three and writes two values of every weight, and of 62,500 centres.
    assert time.optimizer == pytest.approx(5 * 4 * (50e6 + 62_500 * 512) / 1000e9)
    facts, shape = margin_facts("funface"), head_shape(job, "class-parallel")
    assert time.head == pytest.approx(PERFECT.seconds(head_operations(shape, facts, "triton")))
    assert time.total == pytest.approx(
        time.backbone_forward + time.gradient_exchange + time.head + time.head_exchange + time.optimizer
    )


def test_an_exchange_within_the_backward_pass_costs_nothing():
    job = Job(classes=10_000, gpus=8, batch=1000)
    time = heads_of(job)["class-parallel"].time
    assert 0 < time.gradient_exchange < time.backbone_backward and time.exposed_exchange == 0
    assert time.total == pytest.approx(
        time.backbone_forward + time.backbone_backward + time.head + time.head_exchange + time.optimizer
    )


def test_one_gpu_exchanges_nothing():
    for head in heads_of(Job(classes=1000, gpus=1)).values():
        assert head.collectives == ()
        assert head.time.gradient_exchange == head.time.head_exchange == 0


def test_sampled_classes_make_the_head_cheaper_in_proportion():
    job = Job(classes=10_000_000, gpus=8, sample_rate=0.2)
    heads = heads_of(job, implementation="triton")
    assert heads["sampled"].time.head / heads["class-parallel"].time.head == pytest.approx(0.2, rel=0.02)
    assert heads["sampled"].memory.head_gradient / heads["class-parallel"].memory.head_gradient == pytest.approx(0.2)
    assert heads["sampled"].memory.head_optimizer == heads["class-parallel"].memory.head_optimizer


def test_adamw_has_no_sampled_head():
    heads = heads_of(Job(classes=1000, optimizer="adamw"))
    assert heads.keys() == {"dense", "class-parallel"}


@pytest.mark.parametrize("kind", ["dense", "class-parallel", "sampled"])
@pytest.mark.parametrize("classes", [1_000_000, 40_000_000])
def test_what_fits_is_found_by_trying(kind, classes):
    job = Job(classes=classes, gpus=8, gpus_per_node=4, batch=512)
    head = heads_of(job)[kind]
    assert head.fits == (head.memory.total <= 72e9)
    fewest = head.smallest_gpus
    allowed = [*range(1, 5), *range(8, 129, 4)]
    fitting = [p for p in allowed if total_of(Job(classes=classes, gpus=p, gpus_per_node=4, batch=512), kind) <= 72e9]
    assert fewest == (fitting[0] if fitting else None)
    most = head.largest_batch
    for batch in [8, 64, 512, *([] if most is None else [most, most + 8])]:
        total = total_of(Job(classes=classes, gpus=8, gpus_per_node=4, batch=batch), kind)
        assert (total <= 72e9) == (most is not None and batch <= most)


def test_the_reserve_is_taken_from_the_memory():
    job = Job(classes=1000)
    assert make_plan(job, COST, PERFECT, reserve=0.25).usable_memory == 60e9
    total = heads_of(job)["dense"].memory.total
    tight = find_hardware("custom", tflops=100, memory=total / 0.9 / 1e9 + 1e-6, bandwidth=1000)
    assert heads_of(job, machine=Machine(hardware=tight))["dense"].fits
    assert not heads_of(job, machine=Machine(hardware=tight), reserve=0.11)["dense"].fits
    with pytest.raises(ConfigError, match="reserve is 1"):
        make_plan(job, COST, PERFECT, reserve=1)


@pytest.mark.parametrize(
    ("gpu", "large"),
    [("h100", "triton"), ("l4", "triton"), ("v100", "chunked"), ("custom", "triton"), ("cpu", "chunked")],
)
def test_auto_goes_by_the_size_of_the_product_and_the_hardware(gpu, large):
    hardware = find_hardware(gpu, tflops=1, memory=1, bandwidth=1)
    for classes, size, expected in (
        (LARGEST_EAGER_PRODUCT // 256, 512, "eager"),
        (LARGEST_EAGER_PRODUCT // 256 + 1, 512, large),
        (LARGEST_EAGER_PRODUCT // 256 + 1, 510, large),
    ):
        shape = head_shape(Job(classes=classes, gpus=1, batch=256, embedding_size=size), "class-parallel")
        assert chosen_implementation("auto", shape, hardware) == expected
        assert chosen_implementation("recomputed", shape, hardware) == "recomputed"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": 0}, "classes is 0"),
        ({"batch": 1}, "batch is 1, expected at least 2"),
        ({"gpus": 0}, "gpus is 0"),
        ({"sample_rate": 1.0}, "sample_rate is 1.0"),
        ({"margin": "arcfaec"}, "did you mean 'arcface'"),
    ],
)
def test_a_job_that_cannot_be_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        make_plan(Job(**{"classes": 10} | change), COST, PERFECT)


# arcface_torch's README: ResNet-50 on one machine of 8 V100 with 32 GB, mixed precision, 128 images a GPU.
# classes: (images/s, MB of a GPU) of data parallel, model parallel, Partial FC with 0.1; None: out of memory.
PUBLISHED = {
    125_000: ((4681, 7358), (4824, 5306), (5004, 4868)),
    1_400_000: ((1672, 32252), (3043, 11178), (4738, 6056)),
    5_500_000: (None, (1389, 32188), (3975, 9854)),
    8_000_000: (None, None, (3565, 12310)),
    16_000_000: (None, None, (2679, 19950)),
    29_000_000: (None, None, (1855, 32324)),
}


@pytest.mark.parametrize("classes", PUBLISHED)
def test_the_plan_agrees_with_published_measurements(classes):
    machine = Machine(hardware=find_hardware("v100"))
    cost = measure_backbone("iresnet50", 512, "fp16")
    job = Job(classes=classes, backbone="iresnet50", margin="arcface", batch=128)
    # Their head, like "eager", holds whole matrices.
    plan = make_plan(job, cost, machine, implementation="eager")
    for head, published in zip(plan.heads, PUBLISHED[classes], strict=True):
        assert head.fits == (published is not None)
        if published is None:
            continue
        images_per_second, megabytes = published
        assert job.global_batch / head.time.total == pytest.approx(images_per_second, rel=0.27)
        assert 0.6 * megabytes * 2**20 < head.memory.total < 1.1 * megabytes * 2**20
