import pytest

from facemargin.errors import ConfigError
from facemargin.planning import hardware
from facemargin.planning.hardware import GPUS, Efficiency, find_hardware
from facemargin.planning.machine import Machine, Operation


def test_the_table_is_in_flops_and_bytes():
    h100 = find_hardware("h100")
    assert h100.flops_16bit == 989.4e12 and h100.memory == 80e9 and h100.bandwidth == 3.35e12
    # 18 NVLinks of 25 GB/s in each direction; 8 adapters of 400 Gb/s.
    assert h100.link == 18 * 25e9 and h100.network == 8 * 400e9 / 8
    for gpu in GPUS.values():
        assert gpu.flops_16bit > gpu.flops_tf32 >= gpu.flops_float32 > 1e13
        assert 20e9 < gpu.memory < 200e9 and gpu.bandwidth > gpu.link > 1e10 and gpu.network > 1e10


def test_given_values_replace_the_tables():
    changed = find_hardware("a100_80gb", tflops=100, memory=60, network=25)
    assert changed.flops_16bit == changed.flops_tf32 == changed.flops_float32 == 100e12
    assert changed.memory == 60e9 and changed.network == 25e9
    assert changed.bandwidth == GPUS["a100_80gb"].bandwidth and changed.link == GPUS["a100_80gb"].link
    assert GPUS["a100_80gb"].memory == 80e9


def test_hardware_of_another_kind():
    cpu = find_hardware("cpu", tflops=1.5, memory=256, bandwidth=200, network=1.25)
    assert (cpu.flops_16bit, cpu.flops_float32, cpu.memory) == (1.5e12, 1.5e12, 256e9)
    assert (cpu.bandwidth, cpu.link, cpu.network) == (200e9, 200e9, 1.25e9)
    assert cpu.device == "cpu" and find_hardware("custom", tflops=1, memory=1, bandwidth=1).device == "cuda"
    with pytest.raises(ConfigError, match="give memory, bandwidth as well"):
        find_hardware("custom", tflops=1.5)
    with pytest.raises(ConfigError, match="did you mean 'h100'"):
        find_hardware("h10")
    with pytest.raises(ConfigError, match="bandwidth is -1"):
        find_hardware("h100", bandwidth=-1)


def test_precision_is_what_the_gpu_computes():
    assert find_hardware("h100").precision("auto") == "bf16"
    assert find_hardware("v100").precision("auto") == "float32"
    assert find_hardware("v100").precision("fp16") == "fp16"
    with pytest.raises(ConfigError, match="V100 32 GB does not compute in bf16"):
        find_hardware("v100").precision("bf16")


@pytest.mark.parametrize("instructions", [True, False])
def test_a_processor_is_planned_in_what_it_has_instructions_for(instructions, monkeypatch):
    monkeypatch.setattr(hardware, "computes_bf16", lambda device: instructions)
    cpu = find_hardware("cpu", tflops=1, memory=16, bandwidth=20)
    assert cpu.precision("auto") == ("bf16" if instructions else "float32") and cpu.precision("float32") == "float32"
    if instructions:
        assert cpu.precision("bf16") == "bf16"
    for emulated in ("fp16",) if instructions else ("fp16", "bf16"):
        with pytest.raises(ConfigError, match=f"cpu: this processor has no instructions for {emulated}.*use float32"):
            cpu.precision(emulated)
    assert find_hardware("custom", tflops=1, memory=16, bandwidth=20).precision("bf16") == "bf16"


def test_an_operation_takes_as_long_as_its_arithmetic_or_its_traffic():
    v100 = find_hardware("v100", bandwidth=1000)
    machine = Machine(hardware=v100, efficiency=Efficiency(compute=0.5, memory=0.25))
    operations = [Operation(1e12, 1e6), Operation(1e12, 1e6, half=True), Operation(1e6, 5e9)]
    expected = 1e12 / (15.7e12 * 0.5) + 1e12 / (125e12 * 0.5) + 5e9 / (1000e9 * 0.25)
    assert machine.seconds(operations) == pytest.approx(expected, rel=1e-12)
    h100 = find_hardware("h100")
    one = [Operation(1e12, 0)]
    tf32, float32 = (Machine(hardware=h100, float32_products=name).seconds(one) for name in ("tf32", "float32"))
    assert float32 / tf32 == pytest.approx(494.7 / 66.9)


def test_between_nodes_the_network_is_shared():
    machine = Machine(hardware=find_hardware("a100_80gb"), efficiency=Efficiency(communication=0.5))
    assert machine.link_rate(8, 8) == 300e9 * 0.5
    assert machine.link_rate(16, 8) == 200e9 * 0.5


@pytest.mark.parametrize("value", [0.0, 1.1, -0.5])
def test_efficiencies_are_fractions(value):
    with pytest.raises(ConfigError, match=r"efficiency\.memory"):
        Efficiency(memory=value)
