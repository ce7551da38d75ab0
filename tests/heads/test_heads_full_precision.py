"""Autocast, torch.compile and the types people compute in change nothing of a head, forward or backward."""

from itertools import chain

import pytest
import torch
from torch import nn

from facemargin.errors import ConfigError, DataError
from facemargin.heads import create_head, softmax_terms
from facemargin.margins import HardNegatives, list_margins
from facemargin.quality.crfiqa import CertaintyRatioLayer
from tests.processes import run_processes

B, C, D = 48, 300, 64
IMPLEMENTATIONS = ["eager", "chunked", "recomputed"]
LOW = [torch.bfloat16, torch.float16]


def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(B, D, generator=generator))
    w, y = torch.randn(C, D, generator=generator), torch.randint(0, C, (B,), generator=generator)
    return x, w, y, torch.full((B,), 64.0)


def terms_and_gradients(implementation, hard, forward, backward):
    x, w, y, scale = batch()
    leaves = [x.requires_grad_(), w.requires_grad_(), scale.requires_grad_()]
    threshold = HardNegatives(torch.full((B,), 0.1), 0.0, 1.2, 0.2) if hard else None
    with forward():
        terms = softmax_terms(x, w, y, scale, threshold, implementation)
        loss = (terms.negative_lse_B - 64 * terms.target_cosine_B).sum()
    with backward():
        loss.backward()
    return [*terms[:3], *(leaf.grad for leaf in leaves)]


def low(dtype, enabled):
    return lambda: torch.autocast("cpu", dtype=dtype, enabled=enabled)


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize(("forward", "backward"), [(True, False), (True, True), (False, True)])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_softmax_terms_and_their_gradients_are_float32_under_autocast(implementation, hard, forward, backward, dtype):
    plain = terms_and_gradients(implementation, hard, low(dtype, False), low(dtype, False))
    mixed = terms_and_gradients(implementation, hard, low(dtype, forward), low(dtype, backward))
    for one, other in zip(plain, mixed, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(other, one, rtol=0, atol=1e-5 * one.abs().max().item())


def head_and_gradients(name, implementation, features, labels, forward, backward):
    head = create_head(name, C, D, implementation=implementation, generator=torch.Generator().manual_seed(1))
    features = features.clone().requires_grad_()
    with forward():
        out = head(features, labels)
    with backward():
        out.loss.backward()
    return [out.loss.detach(), features.grad, head.weight.grad, *head.margin.state_dict().values()]


@pytest.mark.parametrize("dtype", LOW)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS[:2])
@pytest.mark.parametrize("name", list_margins())
def test_every_margin_is_float32_whatever_the_context_of_the_backward_pass(name, implementation, dtype):
    x, _, y, _ = batch()
    features = (20 * x).to(dtype)
    plain = head_and_gradients(name, implementation, features, y, low(dtype, False), low(dtype, False))
    mixed = head_and_gradients(name, implementation, features, y, low(dtype, True), low(dtype, True))
    for one, other in zip(plain, mixed, strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-5 * one.abs().max().item())


@pytest.mark.parametrize("dtype", LOW)
def test_centres_in_half_precision_are_computed_with_in_float32(dtype):
    x, _, y, _ = batch()
    head = create_head("funface", C, D, generator=torch.Generator().manual_seed(1))
    other = create_head("funface", C, D)
    head.weight.data = head.weight.data.to(dtype)
    other.load_state_dict(head.state_dict())
    out = head((20 * x).to(dtype), y)
    assert out.loss.dtype == torch.float32
    assert torch.equal(out.losses_B, other((20 * x).to(dtype), y).losses_B)


@pytest.mark.parametrize("dtype", LOW)
def test_the_quality_layers_gradients_are_float32_under_autocast(dtype):
    layer = CertaintyRatioLayer(D)
    gradients = []
    for enabled in (False, True):
        layer.zero_grad()
        x = batch()[0].requires_grad_()
        with torch.autocast("cpu", dtype=dtype, enabled=enabled):
            layer(x).square().sum().backward()
        gradients.append([x.grad, layer.linear.weight.grad, layer.linear.bias.grad])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-6, atol=1e-6)


def sharded_under_autocast(group, implementation, enabled):
    x, _, y, _ = batch()
    half = slice(0, B // 2) if group.rank() == 0 else slice(B // 2, B)
    options = {"implementation": implementation, "process_group": group}
    head = create_head("lh2face", C, D, generator=torch.Generator().manual_seed(1), **options)
    features = (20 * x[half]).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
        out = head(features, y[half])
        out.loss.backward()
    return [out.loss.detach(), features.grad, head.weight.grad]


@pytest.mark.slow
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS[:2])
def test_sharded_classes_are_float32_under_autocast(implementation):
    plain, mixed = (run_processes(sharded_under_autocast, 2, implementation, enabled) for enabled in (False, True))
    for one, other in zip(chain(*plain), chain(*mixed), strict=True):
        torch.testing.assert_close(other, one, rtol=0, atol=1e-5 * one.abs().max().item())


class Network(nn.Module):
    def __init__(self, implementation):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(D, D), nn.PReLU())
        self.head = create_head("funface", C, D, implementation=implementation)

    def forward(self, x, labels):
        return self.head(self.backbone(x), labels).loss


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_head_in_a_compiled_model_is_a_graph_break(implementation):
    x, _, y, _ = batch()
    plain, compiled = Network(implementation), Network(implementation)
    compiled.load_state_dict(plain.state_dict())
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    run = torch.compile(compiled, backend=backend)
    for _ in range(2):
        losses = [plain(x, y), run(x, y)]
        for loss in losses:
            loss.backward()
        assert torch.equal(*losses)
    for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad), name
    assert len(graphs) == 1  # the backbone's, compiled once
    terms = torch.compile(softmax_terms, backend=backend)(*batch(), implementation=implementation)
    assert torch.equal(terms.negative_lse_B, softmax_terms(*batch(), implementation=implementation).negative_lse_B)


LABELS = [0, 1, 299, -1]


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        tuple(LABELS),
        torch.tensor(LABELS).numpy(),
        torch.tensor(LABELS).short().numpy(),
        torch.tensor(LABELS).int(),
        torch.tensor(LABELS)[:, None],
        [torch.tensor(label) for label in LABELS],
    ],
)
def test_labels_in_other_forms_mean_the_same(labels):
    x = 20 * batch()[0][:4]
    head = create_head("cosface", C, D)
    assert torch.equal(head(x, labels).losses_B, head(x, torch.tensor(LABELS)).losses_B)


def test_an_empty_list_labels_an_empty_batch():
    assert create_head("cosface", C, D)(torch.zeros(0, D), []).loss == 0


X = torch.ones(4, D)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (
            X,
            torch.eye(C)[:4],
            r"expected class numbers of shape \(4,\): if the labels are one-hot, pass labels.argmax\(1\)",
        ),
        (X, torch.zeros(4, 1, 1).long(), "one class number per feature"),
        (X, torch.tensor(3), "one class number per feature"),
        (X, torch.tensor(LABELS).float(), r"expected integers: pass labels.long\(\)"),
        (X, [0.0, 1.0, 2.0, 3.0], "expected integers"),
        (X, torch.ones(4).bool(), "torch.bool, expected integers"),
        (X, ["a", "b", "c", "d"], "cannot be read as numbers, expected one class number"),
        (X, None, "labels are a NoneType"),
        (X, [[0], [1, 2]], "labels are a list"),
        (X, LABELS[:3], r"labels have shape \(3,\), expected \(4,\)"),
        (X[:, :, None, None], LABELS, r"pass features.flatten\(1\)"),
        (X[:, :9], LABELS, r"\(4, 9\), expected \(B, 64\)$"),
        (X.int(), LABELS, "torch.int32, which carries no gradient"),
        (X.numpy(), LABELS, "features are a ndarray, expected a tensor"),
        (X.to("meta"), LABELS, "features are on meta, the head's centres on cpu"),
    ],
)
def test_what_cannot_be_understood_says_what_to_pass(features, labels, message):
    with pytest.raises(DataError, match=message):
        create_head("cosface", C, D)(features, labels)


def test_a_feature_that_is_not_finite_shows_in_the_loss():
    x = X.clone()
    x[1, 2] = torch.nan
    assert create_head("funface", C, D)(x, LABELS).loss.isnan()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": "5"}, r"num_classes is '5' \(str\), expected a whole number"),
        ({"num_classes": 5.0}, "expected a whole number"),
        ({"num_classes": 0}, "num_classes is 0, expected at least 1"),
        ({"embedding_size": None}, "embedding_size is None"),
        ({"margin": "0.4"}, r"funface: margin is '0.4' \(str\), expected a number"),
        ({"certainty_ratio_bound": [1]}, "expected a number or None"),
        ({"name": "FunFace"}, "did you mean 'funface'"),
        ({"name": None}, "unknown margin None"),
        ({"name": "arcface", "gradient": "exact"}, "expected 'true' or 'insightface'"),
        ({"name": "magface", "easy_margin": 1}, "expected True or False"),
        ({"name": "sphereface", "multiplier": 4.5}, "expected a whole number"),
    ],
)
def test_settings_of_another_type_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        create_head(**{"name": "funface", "num_classes": 5, "embedding_size": 8, **arguments})


def empty_steps(group, name, implementation, sample_rate):
    options = {} if sample_rate == 1 else {"sample_rate": sample_rate}
    head = create_head(name, 7, 8, implementation=implementation, process_group=group, **options)
    before = {key: value.clone() for key, value in head.margin.state_dict().items()}
    x = torch.zeros(0, 8, requires_grad=True)
    out = head(x, torch.zeros(0, dtype=torch.int64))
    out.loss.backward()
    centers = head.trained_tensors()[0].grad
    assert centers is None or not centers.any()
    unchanged = all(torch.equal(before[key], value) for key, value in head.margin.state_dict().items() if key != "step")
    return out.loss.item(), out.num_labeled, tuple(out.losses_B.shape), x.grad.shape == (0, 8), unchanged


def every_margin_without_rows(group):
    return {
        (name, implementation, rate): empty_steps(group, name, implementation, rate)
        for name in list_margins()
        for implementation in IMPLEMENTATIONS[:2]
        for rate in (1.0, 0.5)
    }


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_pass_in_which_no_process_has_rows(processes):
    for found in run_processes(every_margin_without_rows, processes):
        for case, result in found.items():
            assert result == (0.0, 0, (0,), True, True), case
