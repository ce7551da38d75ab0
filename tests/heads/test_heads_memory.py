"""A head's memory: BroadFace's queue and VPL's injected features, against loops, and where the head lives."""

import copy
import itertools

import numpy as np
import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.heads import BroadFaceConfig, VPLConfig, create_head
from tests.heads.memory_reference import Prototypes, Queue, losses_of, slopes
from tests.margins.reference import LOSSES
from tests.processes import run_processes
from tests.waits import Waits

B, C, D, STEPS = 4, 6, 3, 5
# A loss of the cosine, one that re-weights negatives, one of the angle, two of binary decisions with a learnt bias.
NAMES = ["cosface", "mv_arc", "arcface", "sphereface2", "uniface"]
MEMORIES = {
    "queue": BroadFaceConfig(queue_size=10),
    "short queue": BroadFaceConfig(queue_size=3),
    "uncompensated queue": BroadFaceConfig(queue_size=10, compensate=False),
    "vpl": VPLConfig(share=0.2, lasts=2, start=1),
}


def batches(count=STEPS, seed=0):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        yield (
            3 * torch.randn(B, D, generator=generator, dtype=torch.float64),
            torch.randint(0, C, (B,), generator=generator),
        )


def head_with(memory, name="cosface", **options):
    settings = {"implementation": "eager", "generator": torch.Generator().manual_seed(1), **options}
    head = create_head(name, C, D, memory=memory, **settings).double()
    with torch.no_grad():
        head.weight *= torch.linspace(20, 90, len(head.weight))[:, None]  # centres of different lengths
        head.margin.prepare(C)  # a learnt bias in float64, too
    return head


def descend(head):
    with torch.no_grad():
        head.weight -= 0.3 * head.weight.grad
    head.zero_grad()


@pytest.mark.parametrize("compensate", [True, False])
@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("name", NAMES)
def test_broadface_equals_the_loop_reference(name, implementation, compensate):
    """The network's gradient is that of the batch's mean, the centres' that of the mean over batch and queue, in which
    the features of the queue are constants."""
    head = head_with(BroadFaceConfig(queue_size=10, compensate=compensate), LOSSES[name].margin)
    queue = Queue(10, compensate)
    for features, labels in batches():
        x_BD = features.clone().requires_grad_()
        out = head(x_BD, labels)
        out.loss.backward()
        x, y, w = features.numpy(), labels.tolist(), head.weight.detach().numpy()
        old, old_labels = queue.samples(w)
        total = B + len(old)
        batch = losses_of(name, x, y, w)
        of_queue = sum(losses_of(name, old, old_labels, w)) / total
        main = "binary" if head.margin.binary else "softmax"
        np.testing.assert_allclose(out.parts[main].item(), sum(batch) / B, rtol=1e-10)
        np.testing.assert_allclose(out.losses_B.detach().numpy(), batch, rtol=1e-9, atol=1e-12)
        assert ("queue" in out.parts) == bool(old)
        np.testing.assert_allclose(out.loss.item(), sum(batch) / B + of_queue, rtol=1e-10)
        x_slopes = slopes(lambda v, y=y, w=w: sum(losses_of(name, v, y, w)) / B, x)
        every, all_labels = [*x, *old], [*y, *old_labels]
        w_slopes = slopes(lambda v, f=every, y=all_labels: sum(losses_of(name, f, y, v)) / len(f), w)
        np.testing.assert_allclose(x_BD.grad.numpy(), x_slopes, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(head.weight.grad.numpy(), w_slopes, rtol=1e-5, atol=1e-6)
        queue.store(x, y, w)
        descend(head)


@pytest.mark.parametrize("implementation", ["eager", "chunked"])
@pytest.mark.parametrize("name", NAMES)
def test_vpl_equals_the_loop_reference(name, implementation):
    settings = {"share": 0.2, "lasts": 2, "start": 1}
    head = head_with(VPLConfig(**settings), LOSSES[name].margin, implementation=implementation)
    memory, changed = Prototypes(**settings), []
    for features, labels in batches():
        x_BD = features.clone().requires_grad_()
        out = head(x_BD, labels)
        out.loss.backward()
        x, y, w = features.numpy(), labels.tolist(), head.weight.detach().numpy()
        injected = memory.injected(w)
        changed.append(int((injected != w).any(axis=1).sum()))
        np.testing.assert_allclose(out.losses_B.detach().numpy(), losses_of(name, x, y, injected), rtol=1e-9)
        x_slopes = slopes(lambda v, y=y, w=injected: sum(losses_of(name, v, y, w)) / B, x)
        w_slopes = slopes(lambda v, x=x, y=y, m=memory: sum(losses_of(name, x, y, m.injected(v))) / B, w)
        np.testing.assert_allclose(x_BD.grad.numpy(), x_slopes, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(head.weight.grad.numpy(), w_slopes, rtol=1e-5, atol=1e-6)
        memory.store(x, y)
        descend(head)
    assert changed[0] == 0 < min(changed[1:]) and max(changed) < C  # some classes were not seen, or too long ago


def test_the_queue_is_moved_as_the_centres_are():
    """A feature on its centre stays there, however the centre turns and grows; without compensation it does not."""
    cosine = {}
    for compensate in (True, False):
        head = head_with(BroadFaceConfig(queue_size=4, compensate=compensate))
        labels = torch.arange(B)
        head(2 * head.weight.detach()[:B], labels)
        with torch.no_grad():
            head.weight.copy_(torch.randn(C, D, generator=torch.Generator().manual_seed(5)))
        x_QD, norm_Q, y_Q = head._queue(torch.float64)
        assert y_Q.tolist() == labels.tolist() and (norm_Q > 0).all()
        cosine[compensate] = (x_QD * torch.nn.functional.normalize(head.weight.detach()[:B])).sum(1)
    torch.testing.assert_close(cosine[True], torch.ones(B, dtype=torch.float64))
    assert (cosine[False] < 0.9).any()


@pytest.mark.parametrize("memory", MEMORIES)
def test_what_is_not_learnt_from_leaves_no_trace(memory):
    """Eval mode, unlabelled samples, features that are not finite, a batch without samples."""
    head = head_with(MEMORIES[memory])
    plain = head_with(None)
    (x_BD, y_B), *rest = batches()
    head.eval(), plain.eval()
    assert torch.equal(head(x_BD, y_B).losses_B, plain(x_BD, y_B).losses_B)
    assert not any(head.memory.state_dict()[name].any() for name in ("stored", "passes") if hasattr(head.memory, name))
    head.train()
    twin = copy.deepcopy(head)
    head(x_BD, y_B)
    twin(torch.cat([x_BD, torch.full((2, D), 1e3)]), torch.cat([y_B, torch.tensor([-1, -1])]))
    head(x_BD[:0], y_B[:0])
    for key, value in head.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key
    head(torch.full((2, D), torch.nan), [0, 1])
    for x_BD, y_B in rest:
        x_BD.requires_grad_()
        head.zero_grad()
        out = head(x_BD, y_B)
        out.loss.backward()
        assert out.loss.isfinite() and x_BD.grad.isfinite().all() and head.weight.grad.isfinite().all()


def train_heads(group, implementation):
    """Steps of SGD with every memory; what came out of them, for this process."""
    results = {}
    rows = {1: [B], 3: [1, 0, 3]}[1 if group is None else group.size()]
    rank = 0 if group is None else group.rank()
    others = itertools.product(("queue", "vpl"), ("mv_arc", "lh2face"))
    for case in [*((memory, "funface") for memory in MEMORIES), *others]:
        memory, name = case
        options = {"process_group": group, "implementation": implementation}
        generator = torch.Generator().manual_seed(1)
        head = create_head(name, C, D, memory=MEMORIES[memory], generator=generator, **options).double()
        steps = []
        for features, labels in batches():
            labels[1] = -1
            x = features.split(rows)[rank].clone().requires_grad_()
            out = head(x, labels.split(rows)[rank])
            out.loss.backward()
            steps.append((out.loss.detach(), x.grad, head.weight.grad.clone()))
            descend(head)
        state = {key: value.clone() for key, value in head.state_dict().items()}
        common = {key: value for key, value in state.items() if key not in head.class_rows}
        results[case] = (steps, common, {key: state[key] for key in head.class_rows})
    return results


@pytest.mark.slow
def test_any_number_of_processes_gives_the_plain_head():
    plain, processes = train_heads(None, "eager"), run_processes(train_heads, 3, "chunked")
    for case, (steps, common, by_class) in plain.items():
        parts = [process[case] for process in processes]
        for step, (loss, x_grad, w_grad) in enumerate(steps):
            of_step = [part[0][step] for part in parts]
            for one, _, _ in of_step:
                torch.testing.assert_close(one, loss, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(torch.cat([x for _, x, _ in of_step]), x_grad, rtol=1e-9, atol=1e-9)
            torch.testing.assert_close(torch.cat([w for _, _, w in of_step]), w_grad, rtol=1e-9, atol=1e-9)
        for key, value in by_class.items():
            torch.testing.assert_close(torch.cat([part[2][key] for part in parts]), value, rtol=1e-9, atol=1e-9)
        for key, value in common.items():
            assert all(torch.equal(part[1][key], parts[0][1][key]) for part in parts)
            torch.testing.assert_close(parts[0][1][key], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("memory", MEMORIES)
def test_no_memory_waits_for_the_device(memory):
    head = create_head("funface", C, D, memory=MEMORIES[memory], implementation="chunked").to("meta")
    with Waits() as waits:
        for _ in range(3):
            x_BD = torch.empty(B, D, device="meta", requires_grad=True)
            head(x_BD, torch.tensor([0, -1, 2, 2])).loss.backward()
    assert waits.found == []
    assert {buffer.device.type for name, buffer in head.memory.named_buffers()} == {"cpu", "meta"}


def test_what_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="queue_size is 0, expected a whole number of samples"):
        BroadFaceConfig(queue_size=0)
    for settings, words in [
        ({"share": 1.0}, "share is 1.0"),
        ({"lasts": 0}, "lasts is 0"),
        ({"start": -1}, "start is"),
    ]:
        with pytest.raises(ConfigError, match=words):
            VPLConfig(**settings)
    with pytest.raises(ConfigError, match=r"with sample_rate 0\.5: the classes in a memory would not all be"):
        create_head("arcface", C, D, memory=VPLConfig(), sample_rate=0.5)
    with pytest.raises(ConfigError, match="with 2 sub_centers: a memory is made for one centre a class"):
        create_head("arcface", C, D, memory=BroadFaceConfig(), sub_centers=2)
    with pytest.raises(ConfigError, match="memory is 'vpl', expected None, a BroadFaceConfig or a VPLConfig"):
        create_head("arcface", C, D, memory="vpl")
