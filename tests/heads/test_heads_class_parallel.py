"""A class-parallel head on 1 to 4 processes against the plain one: loss, gradients, statistics, outputs."""

import pytest
import torch

from facemargin.errors import DataError
from facemargin.heads import create_head
from facemargin.heads.initialization import initial_centers
from facemargin.heads.sharding import shard_range
from facemargin.margins import list_margins
from tests.processes import run_processes

B, D, STEPS = 13, 8, 2
# Rows of each process: uneven, and some have none.
ROWS = {1: [13], 2: [8, 5], 3: [5, 0, 8], 4: [3, 5, 0, 5]}
# 23 classes divide among none of the counts; 5 leave the last of 4 processes without any.
CLASSES = [23, 5]
# Beside what all margins have: the filter re-weights negatives without looking at the target; centres of several parts.
SETTINGS = [(name, {}) for name in list_margins()] + [
    ("funface", {"interclass_filtering_threshold": 0.3}),
    ("url", {"sub_embeddings": 4}),
]
OUTPUTS = (
    "losses_B", "target_cosine_B", "hardest_negative_B", "certainty_ratio_B", "feature_norm_B", "margin_scaler_B"
)  # fmt: skip


def batches(num_classes):
    """Features with norms and cosines of all sizes, one sample in five unlabelled."""
    generator = torch.Generator().manual_seed(3)
    for _ in range(STEPS):
        labels = torch.randint(0, num_classes, (B,), generator=generator)
        features = torch.randn(B, D, generator=generator, dtype=torch.float64)
        features += 2 * torch.rand(B, 1, generator=generator, dtype=torch.float64) * torch.eye(D).double()[labels % D]
        features *= torch.rand(B, 1, generator=generator, dtype=torch.float64) * 20
        labels[torch.rand(B, generator=generator) < 0.2] = -1
        yield features, labels


def train_head(group, name, settings, num_classes, implementation):
    """Some steps of SGD; everything that came out of them, for this process."""
    options = {"implementation": implementation, "process_group": group, "seed": 5}
    head = create_head(name, num_classes, D, generator=torch.Generator().manual_seed(1), **settings, **options).double()
    counts = ROWS[1 if group is None else group.size()]
    rank = 0 if group is None else group.rank()
    results = []
    for features, labels in batches(num_classes):
        head.zero_grad()
        x = features.split(counts)[rank].clone().requires_grad_()
        out = head(x, labels.split(counts)[rank])
        out.loss.backward()
        gradient = torch.zeros_like(head.weight) if head.weight.grad is None else head.weight.grad
        results.append(
            {
                "loss": out.loss.detach(),
                "parts": torch.stack(list(out.parts.values())).detach(),
                "num_labeled": out.num_labeled,
                "x.grad": x.grad,
                "weight.grad": gradient.clone(),
                "statistics": {k: v.clone() for k, v in head.state_dict().items() if k != "weight"},
                **{name: getattr(out, name).detach() for name in OUTPUTS},
            }
        )
        with torch.no_grad():
            head.weight -= 0.5 * gradient
    return results


def train_all(group, *implementations):
    """Of each implementation, every case."""
    return [
        {
            (name, num_classes, bool(settings)): train_head(group, name, settings, num_classes, implementation)
            for name, settings in SETTINGS
            for num_classes in CLASSES
        }
        for implementation in implementations
    ]


def assert_close(one, other, what):
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, equal_nan=True, msg=lambda text: f"{what}: {text}")


@pytest.fixture(scope="module")
def plain():
    return train_all(None, "eager")[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "implementations"), [(1, ["chunked"]), (2, ["eager"]), (3, ["chunked"]), (4, ["eager", "chunked"])]
)
def test_any_number_of_processes_gives_the_plain_head(plain, processes, implementations):
    for found in zip(*run_processes(train_all, processes, *implementations), strict=True):
        check_against(plain, found)


def check_against(plain, found):
    """`found`: what every process has found."""
    for case, expected in plain.items():
        for step in range(STEPS):
            one = expected[step]
            parts = [result[case][step] for result in found]
            for part in parts:
                for key in ("loss", "parts"):
                    assert_close(part[key], one[key], f"{case} {key}")
                assert part["num_labeled"] == one["num_labeled"]
                # Bit for bit the same everywhere, or the processes would drift apart.
                assert torch.equal(part["loss"], parts[0]["loss"])
                for key, value in one["statistics"].items():
                    assert_close(part["statistics"][key], value, f"{case} {key}")
                    assert torch.equal(part["statistics"][key], parts[0]["statistics"][key])
            for key in ("x.grad", "weight.grad", *OUTPUTS):
                assert_close(torch.cat([part[key] for part in parts]), one[key], f"{case} {key}")


def test_the_batches_reach_what_they_should():
    for num_classes in CLASSES:
        labels = torch.cat([labels for _, labels in batches(num_classes)])
        assert (labels == -1).any() and (labels >= 0).sum() > B
    assert shard_range(5, 3, 4) == (5, 5)


@pytest.mark.parametrize("processes", range(1, 9))
@pytest.mark.parametrize("num_classes", [1, 2, 5, 7, 8, 23, 64])
def test_shards_are_those_of_torch_chunk(num_classes, processes):
    chunks = list(torch.arange(num_classes).chunk(processes))
    chunks += [torch.empty(0)] * (processes - len(chunks))
    for rank, chunk in enumerate(chunks):
        first, last = shard_range(num_classes, rank, processes)
        assert list(range(first, last)) == chunk.tolist()


@pytest.mark.parametrize("name", ["unit", "normal"])
def test_a_class_starts_at_the_same_centre_whatever_the_shard(name):
    classes = 70_000  # more than a block
    whole = initial_centers(name, classes, 4, torch.Generator().manual_seed(2))
    for first, last in [(0, 10), (65_530, 65_540), (69_999, 70_000), (5, 5)]:
        part = initial_centers(name, classes, 4, torch.Generator().manual_seed(2), (first, last))
        assert torch.equal(part, whole[first:last])
    assert whole.std(0).min() > 0.5 * whole.std() and not torch.equal(whole[:4464], whole[65_536:])


def wrong_labels(group):
    head = create_head("funface", 7, D, process_group=group)
    try:
        head(torch.randn(2, D), torch.tensor([0, 7 if group.rank() == 1 else 1]))
    except DataError as error:
        return str(error)
    return "no error"


@pytest.mark.slow
def test_a_label_out_of_range_is_an_error_on_every_process():
    for message in run_processes(wrong_labels, 2):
        assert "run from 0 to 7, expected 0 to 6" in message
