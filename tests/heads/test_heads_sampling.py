"""Sampled classes: which, the loss over them, and what SGD makes of the rows."""

import pytest
import torch

from facemargin.errors import ConfigError, DataError
from facemargin.heads import RowSGD, create_head
from facemargin.heads.sampling import sample_classes
from facemargin.heads.sharding import shard_range
from facemargin.margins import list_margins
from tests.processes import run_processes

C, D, B = 40, 6, 8
RATE = 0.3


def batches(steps, seed=4):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        labels = torch.randint(-1, C, (B,), generator=generator)
        yield torch.randn(B, D, generator=generator, dtype=torch.float64) * 5, labels


def sampled_head(name="cosface", **options):
    options = {"sample_rate": RATE, "generator": torch.Generator().manual_seed(0), **options}
    return create_head(name, C, D, **options).double()


def test_positives_come_first_and_the_rest_is_drawn():
    y = torch.tensor([3, 3, 17, -5, 90])
    index = sample_classes(y, C, RATE, seed=1, step=2, shard=0)
    assert len(index) == 12 and {3, 17} <= set(index.tolist()) and index.tolist() == sorted(set(index.tolist()))
    assert torch.equal(index, sample_classes(y, C, RATE, seed=1, step=2, shard=0))
    for other in ({"seed": 2}, {"step": 3}, {"shard": 1}):
        assert not torch.equal(index, sample_classes(y, C, RATE, **{"seed": 1, "step": 2, "shard": 0, **other}))
    # more positives than the rate allows: all of them, and nothing else
    many = torch.arange(20)
    assert torch.equal(sample_classes(many, C, RATE, seed=1, step=2, shard=0), many)
    assert len(sample_classes(y, 0, RATE, seed=1, step=2, shard=0)) == 0


def test_every_other_class_is_equally_likely():
    y = torch.tensor([3])
    counts = torch.zeros(C)
    for step in range(2000):
        counts[sample_classes(y, C, RATE, seed=0, step=step, shard=0)] += 1
    assert counts[3] == 2000
    expected = 2000 * 11 / 39
    others = torch.cat([counts[:3], counts[4:]])
    assert (others - expected).abs().max() < 5 * (expected * (1 - 11 / 39)) ** 0.5  # five standard deviations


@pytest.mark.parametrize("name", list_margins())
def test_the_loss_is_that_of_a_plain_head_over_the_sample(name):
    head = sampled_head(name)
    for x, y in batches(2):
        x = x.requires_grad_()
        head.begin_step(y)
        index = head.sampled.index_S
        plain = create_head(name, len(index), D).double()
        plain.load_state_dict({k: v for k, v in head.state_dict().items() if k not in ("weight", "sampling_step")}
                              | {"weight": head.weight[index]})  # fmt: skip
        mapped = torch.where(y >= 0, torch.searchsorted(index, y), -1)
        expected = plain(x.detach(), mapped)
        expected.loss.backward()
        out = head(x, y)
        out.loss.backward()
        torch.testing.assert_close(out.losses_B, expected.losses_B, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(head.sampled.rows_SD.grad, plain.weight.grad, rtol=1e-12, atol=1e-12)
        assert head.weight.grad is None
        head.step(0.1)


@pytest.mark.parametrize("unsampled", ["frozen", "exact"])
@pytest.mark.parametrize("flush_every", [1, 7, 100])
def test_rows_follow_their_reference(unsampled, flush_every):
    """frozen: SGD on the touched rows alone, loop by loop. exact: torch's SGD on the gradient filled up with zeros."""
    momentum, decay = 0.9, 0.02
    head = sampled_head(row_optimizer=RowSGD(momentum, decay, unsampled))
    w, v = head.weight.detach().clone(), torch.zeros(C, D, dtype=torch.float64)
    dense = torch.nn.Parameter(w.clone())
    sgd = torch.optim.SGD([dense], lr=1.0, momentum=momentum, weight_decay=decay)
    for step, (x, y) in enumerate(batches(60)):
        rate = 0.3 / (1 + step % 5)
        head(x, y).loss.backward()
        index, gradient = head.sampled.index_S, head.sampled.rows_SD.grad.clone()
        torch.testing.assert_close(
            head.sampled.rows_SD.detach(), (w if unsampled == "frozen" else dense)[index], rtol=1e-12, atol=1e-12
        )
        head.step(rate)
        for k, j in enumerate(index.tolist()):
            v[j] = momentum * v[j] + gradient[k] + decay * w[j]
            w[j] = w[j] - rate * v[j]
        dense.grad = torch.zeros(C, D, dtype=torch.float64).index_copy(0, index, gradient)
        sgd.param_groups[0]["lr"] = rate
        sgd.step()
        if step % flush_every == 0:
            head.state_dict()
    found = head.state_dict()["weight"]
    expected, buffer = (w, v) if unsampled == "frozen" else (dense.detach(), sgd.state[dense]["momentum_buffer"])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(head.row_optimizer.momentum_CD, buffer, rtol=1e-12, atol=1e-12)


def test_exact_rows_catch_up_over_a_history_that_was_cut(monkeypatch):
    monkeypatch.setattr("facemargin.heads.row_optimizer._LONGEST_HISTORY", 5)
    test_rows_follow_their_reference("exact", 100)


@pytest.mark.parametrize("unsampled", ["frozen", "exact"])
def test_a_saved_head_goes_on_as_if_it_had_not_stopped(unsampled):
    def steps(head, some):
        for x, y in some:
            head(x, y).loss.backward()
            head.step(0.2)

    whole, first, second = (sampled_head(row_optimizer=RowSGD(0.9, 0.01, unsampled)) for _ in range(3))
    all_batches = list(batches(20))
    steps(whole, all_batches)
    steps(first, all_batches[:9])
    second.load_state_dict(first.state_dict())
    second.row_optimizer.load_state_dict(first.row_optimizer.state_dict(), second.weight.data)
    steps(second, all_batches[9:])
    torch.testing.assert_close(second.state_dict(), whole.state_dict(), rtol=1e-12, atol=1e-12)


def test_classes_stay_fixed_within_a_step():
    head = sampled_head()
    (x, y), (x2, y2) = list(batches(2))
    head.begin_step(torch.cat([y, y2]))
    index = head.sampled.index_S
    (head(x, y).loss + head(x2, y2).loss).backward()
    assert head.sampled.index_S is index
    both = head.sampled.rows_SD.grad.clone()
    head.skip_step()
    head.sampling_step -= 1
    head.begin_step(torch.cat([y, y2]))
    for one, labels in ((x, y), (x2, y2)):
        head(one, labels).loss.backward()
    torch.testing.assert_close(head.sampled.rows_SD.grad, both)
    head.step(0.1)
    assert head.sampled is None


def test_a_class_outside_the_step_is_an_error():
    head = sampled_head()
    head.begin_step(torch.tensor([1]))
    missing = next(j for j in range(C) if j not in head.sampled.index_S.tolist())
    with pytest.raises(DataError, match=f"class {missing} of this shard.*head.begin_step"):
        head(torch.randn(1, D).double(), torch.tensor([missing]))


def test_eval_mode_sees_all_classes():
    head, plain = sampled_head().eval(), create_head("cosface", C, D).double().eval()
    with torch.no_grad():
        plain.weight.copy_(head.weight)
    x, y = next(batches(1))
    torch.testing.assert_close(head(x, y).losses_B, plain(x, y).losses_B)
    assert head.sampled is None


def test_the_exact_hardest_negative_and_the_bias_without_it():
    exact, biased = (sampled_head("funface", exact_hardest_negative=flag) for flag in (True, False))
    plain = create_head("funface", C, D).double()
    with torch.no_grad():
        plain.weight.copy_(exact.weight)
    x, y = next(batches(1))
    full, one, other = (head(x, y).hardest_negative_B for head in (plain, exact, biased))
    torch.testing.assert_close(one, full, equal_nan=True)
    labeled = y >= 0
    assert (other <= full + 1e-12)[labeled].all() and (other < full - 1e-3)[labeled].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0.0}, r"sample_rate is 0.0, expected a number in \(0, 1\]"),
        ({"sample_rate": 1.5}, "sample_rate is 1.5"),
        ({"sample_rate": 1.0, "exact_hardest_negative": True}, "the hardest negative is exact anyway"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        sampled_head(**options)
    with pytest.raises(ConfigError, match="unsampled_rows is 'forzen'"):
        RowSGD(unsampled="forzen")


ROWS = {1: [8], 2: [3, 5], 3: [4, 0, 4], 4: [2, 1, 0, 5]}


def sampled_steps(group, unsampled):
    head = sampled_head("funface", process_group=group, row_optimizer=RowSGD(0.9, 0.01, unsampled), seed=3,
                        exact_hardest_negative=unsampled == "exact")  # fmt: skip
    counts, results = ROWS[group.size()], []
    for x, y in batches(4):
        own = x.split(counts)[group.rank()].clone().requires_grad_()
        before = head.state_dict()["weight"].clone()
        out = head(own, y.split(counts)[group.rank()])
        out.loss.backward()
        index = head.sampled.index_S
        results.append(
            (index + head.class_range[0], before, out.loss.detach(), own.grad, head.sampled.rows_SD.grad.clone(),
             out.hardest_negative_B)
        )  # fmt: skip
        head.step(0.1)
    return results


@pytest.mark.slow
@pytest.mark.parametrize("unsampled", ["frozen", "exact"])
@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_many_processes_sample_their_own_shards(processes, unsampled):
    """The reference is a plain head over the classes that all processes sampled together."""
    found = run_processes(sampled_steps, processes, unsampled)
    statistics = None
    for step, (x, y) in enumerate(batches(4)):
        parts = [one[step] for one in found]
        index = torch.cat([part[0] for part in parts])
        assert set(y[y >= 0].tolist()) <= set(index.tolist())
        for rank, part in enumerate(parts):
            first, last = shard_range(C, rank, processes)
            own_labels = {label for label in y.tolist() if first <= label < last}
            assert len(part[0]) == max(int(RATE * (last - first)), len(own_labels))
        whole = torch.cat([part[1] for part in parts])
        plain = create_head("funface", len(index), D).double()
        with torch.no_grad():
            plain.weight.copy_(whole[index])
        if statistics is not None:
            plain.margin.load_state_dict(statistics)
        if unsampled == "exact":  # the exact hardest negative decides the margin: hand it to the reference
            full = create_head("cosface", C, D).double().eval()
            with torch.no_grad():
                full.weight.copy_(whole)
            hardest = full(x, y).hardest_negative_B
            torch.testing.assert_close(torch.cat([part[5] for part in parts]), hardest, equal_nan=True)
            continue
        mapped = torch.where(y >= 0, torch.searchsorted(index, y), -1)
        reference = x.clone().requires_grad_()
        out = plain(reference, mapped)
        out.loss.backward()
        statistics = plain.margin.state_dict()
        for part in parts:
            torch.testing.assert_close(part[2], out.loss.detach(), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(torch.cat([part[3] for part in parts]), reference.grad, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(torch.cat([part[4] for part in parts]), plain.weight.grad, rtol=1e-9, atol=1e-10)
