import pytest
import torch

from facemargin.training import average as average_module
from facemargin.training.average import WeightAverage


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))


def test_all_tensors_at_once_are_averaged_as_one_by_one():
    one = network()
    average = WeightAverage(one, decay=0.9)
    expected = {key: value.clone() for key, value in average.state.items()}
    for step in range(1, 4):
        one(torch.randn(4, 3))
        average.update()
        for key, value in one.state_dict().items():
            if value.is_floating_point():
                expected[key].lerp_(value, 1 - (1 + step) / (10 + step))
            else:
                expected[key].copy_(value)
    for key, value in average.state.items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=0)


def test_the_average_follows_a_loop():
    one = network()
    average = WeightAverage(one, decay=0.4)
    expected = {key: value.double() for key, value in one.state_dict().items()}
    decays = []
    for step in range(1, 12):
        with torch.no_grad():
            for parameter in one.parameters():
                parameter.add_(torch.randn_like(parameter))
        one(torch.randn(4, 3))  # running statistics move
        average.update()
        decays.append(min(0.4, (1 + step) / (10 + step)))
        for key, value in one.state_dict().items():
            if value.is_floating_point():
                expected[key] = decays[-1] * expected[key] + (1 - decays[-1]) * value.double()
            else:
                expected[key] = value.double()
    assert decays[0] < decays[1] < decays[-1] == decays[-2] == 0.4  # it rose, and reached its cap
    for key, value in average.state.items():
        torch.testing.assert_close(value.double(), expected[key], rtol=1e-5, atol=1e-6)
    assert average.state["1.num_batches_tracked"].item() == 11


def test_the_network_is_left_alone():
    one = network()
    before = {key: value.clone() for key, value in one.state_dict().items()}
    average = WeightAverage(one, decay=0.5)
    for value in average.state.values():
        value.zero_()
    average.update()
    for key, value in one.state_dict().items():
        torch.testing.assert_close(value, before[key])


def test_a_loaded_average_goes_on_in_its_own_tensors(tmp_path):
    one, other = network(), network()
    first = WeightAverage(one, decay=0.9)
    for _ in range(5):
        one(torch.randn(4, 3))
        first.update()
    torch.save(first.state_dict(), tmp_path / "average.pt")
    second = WeightAverage(other.to(memory_format=torch.preserve_format), decay=0.9)
    tensors = dict(second.state)
    second.load_state_dict(torch.load(tmp_path / "average.pt", weights_only=True))
    assert second.updates == 5
    for key, value in second.state.items():
        # In place: on a GPU the checkpoint is in main memory and the network is not.
        assert value is tensors[key]
        torch.testing.assert_close(value, first.state[key], rtol=0, atol=0)
    other.load_state_dict(one.state_dict())
    first.update()
    second.update()
    for key, value in second.state.items():
        torch.testing.assert_close(value, first.state[key], rtol=0, atol=0)


def test_the_average_of_another_network_is_refused():
    average = WeightAverage(network(), decay=0.9)
    with pytest.raises(KeyError):
        average.load_state_dict({"updates": 1, "state": {}})
    wrong = {key: torch.zeros(7, 7) for key in average.state}
    with pytest.raises(RuntimeError):
        average.load_state_dict({"updates": 1, "state": wrong})


def test_a_step_that_was_not_taken_leaves_the_average_alone():
    one = network()
    average = WeightAverage(one, decay=0.5)
    before = {key: value.clone() for key, value in average.state.items()}
    with torch.no_grad():
        one[0].weight.add_(1)
    average.update(torch.tensor(False))
    for key, value in average.state.items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    average.update(torch.tensor(True))
    assert not torch.equal(average.state["0.weight"], before["0.weight"])


def test_what_a_gpu_decides_is_what_the_host_would():
    weights = [torch.randn(3, 2), torch.randn(4)]
    averages = [torch.randn_like(value) for value in weights]
    before, expected = ([value.clone() for value in averages] for _ in range(2))
    average_module._lerp_if(torch.tensor(False), averages, weights, 0.3)
    torch.testing.assert_close(averages, before, rtol=0, atol=0)
    average_module._lerp_if(torch.tensor(True), averages, weights, 0.3)
    for value, weight in zip(expected, weights, strict=True):
        value.lerp_(weight, 0.3)
    torch.testing.assert_close(averages, expected)
