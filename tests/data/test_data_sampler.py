"""The order of training, and that a run continues in it at any step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facemargin.data.sampler import EpochBatchSampler, epoch_order
from facemargin.errors import ConfigError


@given(
    num_samples=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    epochs=st.integers(0, 4),
    seed=st.integers(0, 5),
    data=st.data(),
)
def test_a_stream_started_at_any_step_is_the_tail_of_the_whole(num_samples, batch_size, epochs, seed, data):
    batch_size = min(batch_size, num_samples)
    whole = EpochBatchSampler(num_samples, batch_size, seed, epochs)
    batches = list(whole)
    assert len(batches) == len(whole) == epochs * whole.steps_per_epoch
    step = data.draw(st.integers(0, len(batches) + 3))
    tail = EpochBatchSampler(num_samples, batch_size, seed, epochs, start_step=step)
    assert list(tail) == batches[step:] and len(tail) == len(batches[step:])


@given(num_samples=st.integers(1, 60), batch_size=st.integers(1, 20))
def test_an_epoch_visits_each_sample_once_in_complete_batches(num_samples, batch_size):
    batch_size = min(batch_size, num_samples)
    batches = list(EpochBatchSampler(num_samples, batch_size, 0, 2))
    for epoch in (0, 1):
        mine = [batch for batch in batches if batch[0][0] == epoch]
        visited = [index for batch in mine for of_epoch, index in batch if of_epoch == epoch]
        assert len(set(visited)) == len(visited)
        assert all(len(batch) == batch_size for batch in mine)
        assert len(visited) == num_samples // batch_size * batch_size and set(visited) <= set(range(num_samples))


def test_the_order_is_a_function_of_seed_and_epoch_alone():
    orders = [epoch_order(seed, epoch, 100).tolist() for seed in (0, 1) for epoch in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4
    assert orders == [epoch_order(seed, epoch, 100).tolist() for seed in (0, 1) for epoch in (0, 1)]
    small_batches = [index for batch in EpochBatchSampler(100, 4, 0, 1) for _, index in batch]
    large_batches = [index for batch in EpochBatchSampler(100, 25, 0, 1) for _, index in batch]
    assert small_batches == large_batches == orders[0]


def test_a_set_smaller_than_a_batch():
    with pytest.raises(ConfigError, match="batch_size 8 is larger than the training set of 5 images"):
        EpochBatchSampler(5, 8, 0, 1)


@pytest.mark.parametrize("wrong", [(0, 1, 0, 1), (5, 0, 0, 1), (5, 1, 0, -1), (5, 1, 0, 1, -1)])
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected at least one sample"):
        EpochBatchSampler(*wrong)
