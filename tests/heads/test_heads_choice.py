"""What "auto" chooses, on devices that are not here: a CUDA device is a name and a capability to it until a trial."""

import logging
from types import SimpleNamespace

import pytest
import torch

from facemargin.errors import ConfigError
from facemargin.heads import choice, create_head
from facemargin.heads.choice import LARGEST_EAGER_PRODUCT, automatic_implementation
from facemargin.heads.chunked import softmax_terms_chunked
from facemargin.margins.base import HardNegatives


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch):
    """A device of compute capability 9.0; its trials run on the CPU, with "chunked" in triton's place."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    trial = choice._trial
    monkeypatch.setattr(choice, "_trial", lambda device, *kind: trial(torch.device("cpu"), *kind))
    monkeypatch.setattr(choice, "softmax_terms_triton", fused)
    for cached in (choice._problem_of_triton, choice._warn_once):
        cached.cache_clear()
    yield
    for cached in (choice._problem_of_triton, choice._warn_once):
        cached.cache_clear()


def fused(*tensors, backward, hardest_class):
    return softmax_terms_chunked(*tensors, hardest_class=hardest_class)


def chosen(
    b=1024, c=20_000, d=512, device="cuda", dtype=torch.float32, scaled=False, hard=False, backward="float32",
    hardest_class=False, sub_centers=None,
):  # fmt: skip
    """What is chosen for tensors of a shape and device that need no memory."""

    class Rows(SimpleNamespace):
        def __len__(self):
            return self.shape[0]

    kind = {"device": torch.device(device), "dtype": dtype, "requires_grad": scaled}
    x, w, scale = (
        Rows(shape=shape, **kind) for shape in ((b, d), (c, d) if sub_centers is None else (c, sub_centers, d), (b,))
    )
    negatives = HardNegatives(None, 0, 0, 0) if hard else None
    return automatic_implementation(x, w, scale, negatives, backward, hardest_class)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("hardest_class", [False, True])
def test_a_large_product_in_float32_on_a_gpu_is_tritons(caplog, hard, scaled, hardest_class):
    assert chosen(hard=hard, scaled=scaled, hardest_class=hardest_class) == "triton"
    assert not caplog.records


def test_sub_centers_are_chunkeds_which_is_said_once(caplog):
    with caplog.at_level(logging.WARNING):
        assert [chosen(sub_centers=3) for _ in range(2)] == ["chunked"] * 2
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
        "triton has no kernels for sub-centres"
    ]
    assert chosen(c=LARGEST_EAGER_PRODUCT // 1024 // 3, sub_centers=3) == "eager"
    assert chosen(c=LARGEST_EAGER_PRODUCT // 1024 // 3 + 1, sub_centers=3) == "chunked"


def test_others_stay_as_they_were(monkeypatch):
    assert chosen(c=LARGEST_EAGER_PRODUCT // 1024) == "eager"
    assert chosen(c=LARGEST_EAGER_PRODUCT // 1024 + 1) == "triton"
    assert chosen(device="cpu") == chosen(dtype=torch.float64) == "chunked"
    assert chosen(d=510) == "triton"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert chosen() == "chunked"


def fails(*arguments, **options):
    raise RuntimeError("PassManager::run failed\nand many lines more")


def is_missing(*arguments, **options):
    raise ConfigError('implementation "triton" needs triton 3.6 or later, but it is not installed')


def is_wrong(x_BD, w_CD, *others, **options):
    """The gradient of W too large by a thirtieth."""
    return softmax_terms_chunked(x_BD, w_CD.detach() + (w_CD - w_CD.detach()) * 1.03, *others)


@pytest.mark.parametrize(
    ("terms_of", "reason"),
    [
        (fails, "a trial of triton failed with RuntimeError: PassManager::run failed"),
        (is_missing, 'implementation "triton" needs triton 3.6 or later, but it is not installed'),
        (is_wrong, "in a trial of triton the gradient of W differed by 3% from that in float64"),
    ],
)
def test_what_fails_a_trial_is_named_once_and_replaced(monkeypatch, caplog, terms_of, reason):
    monkeypatch.setattr(choice, "softmax_terms_triton", terms_of)
    with caplog.at_level(logging.WARNING):
        assert [chosen(), chosen(), chosen(hard=True), chosen(b=2048, scaled=True)] == ["chunked"] * 4
    found = [record.message for record in caplog.records]
    assert found == [f'the head computes with "chunked" on cuda, which is slower than "triton": {reason}']


def test_a_wrong_class_fails_a_trial(monkeypatch, caplog):
    def shifted(*tensors, backward, hardest_class):
        terms = softmax_terms_chunked(*tensors, hardest_class=hardest_class)
        return terms._replace(hardest_class_B=(terms.hardest_class_B + 1) % 700)

    monkeypatch.setattr(choice, "softmax_terms_triton", shifted)
    with caplog.at_level(logging.WARNING):
        assert chosen(hardest_class=True) == "chunked"
    assert "in a trial of triton the hardest class's cosine differed by" in caplog.text


def test_bf16_in_backward_without_effect_is_said_once(caplog):
    features = torch.ones(2, 3)
    assert choice.automatic_backward("triton", "bf16", features) == "bf16" and not caplog.records
    assert [choice.automatic_backward("eager", "bf16", features) for _ in range(2)] == ["float32"] * 2
    assert [choice.automatic_backward("chunked", "bf16", features.double()) for _ in range(2)] == ["float32"] * 2
    assert choice.automatic_backward("eager", "float32", features) == "float32"
    where = 'backward="bf16" has no effect on cpu where the head computes with'
    assert [record.message for record in caplog.records] == [
        f'{where} "eager"',
        f'{where} "chunked": it rounds products of float32, and these are of float64',
    ]


def test_bf16_in_backward_is_refused_where_it_cannot_be():
    with pytest.raises(ConfigError, match='backward is "bf16", which implementation "eager" does not have: use "auto"'):
        create_head("funface", 5, 8, implementation="eager", backward="bf16")
    with pytest.raises(ConfigError, match="backward 'bf61'"):
        create_head("funface", 5, 8, backward="bf61")
    assert create_head("funface", 5, 8, implementation="triton", backward="bf16").options.backward == "bf16"


def test_a_trial_draws_nothing_from_torchs_generator():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    with torch.inference_mode():
        assert chosen() == "triton"
    assert torch.equal(torch.rand(3), expected)
