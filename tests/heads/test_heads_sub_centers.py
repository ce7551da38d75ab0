"""Sub-centres: every implementation, shard and sample of classes against loops over classes and their sub-centres.

Shapes: B samples, C classes, K sub-centres of a class, D feature values.
"""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from facemargin.errors import ConfigError, DataError
from facemargin.heads import RowSGD, create_head
from facemargin.heads.chunked import softmax_terms_chunked, softmax_terms_recomputed
from facemargin.heads.hardest_negative import hardest_negatives
from facemargin.heads.softmax_terms import softmax_terms, softmax_terms_eager
from facemargin.margins import HardNegatives
from tests.processes import run_processes

B, C, K, D = 9, 23, 3, 4
IMPLEMENTATIONS = {
    "eager": softmax_terms_eager,
    "chunked": softmax_terms_chunked,
    "chunks of 1": lambda *tensors, **options: softmax_terms_chunked(*tensors, chunk_classes=1, **options),
    "chunks of 7": lambda *tensors, **options: softmax_terms_chunked(*tensors, chunk_classes=7, **options),
    "recomputed": softmax_terms_recomputed,
}
HARD = {"none": None, "curricularface": (1.0, 0.3, 0.0), "interclass filtering": (0.0, 0.0, 0.0)}


def inputs(classes=C, sub_centers=K):
    g = torch.Generator().manual_seed(classes)
    x = torch.nn.functional.normalize(torch.randn(B, D, generator=g, dtype=torch.float64))
    w = torch.randn(classes, sub_centers, D, generator=g, dtype=torch.float64) * 3
    y = torch.randint(-3, classes + 3, (B,), generator=g)  # some are another shard's
    return x, w, y, torch.rand(B, generator=g, dtype=torch.float64) * 30 + 1


def hard_negatives(kind):
    quadratic = HARD[kind]
    return quadratic and HardNegatives(torch.linspace(-0.5, 0.5, B, dtype=torch.float64), *quadratic)


def class_cosines(x, w):
    """The cosines of one sample to all classes, by loops."""
    return [max(float(x @ center) / float(x.norm()) / float(center.norm()) for center in centers) for centers in w]


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_terms_equal_the_loops(name, kind):
    x, w, y, scale = inputs()
    hard = hard_negatives(kind)
    terms = IMPLEMENTATIONS[name](x, w, y, scale, hard, hardest_class=True)
    for i in range(B):
        logits, hardest, hardest_class, target = [], -math.inf, -1, 0.0
        for j, c in enumerate(class_cosines(x[i], w)):
            if j == int(y[i]):
                target = c
                continue
            if c > hardest:
                hardest, hardest_class = c, j
            if hard is not None and c > float(hard.threshold_B[i]):
                c = float(hard.alpha) * c * c + float(hard.beta) * c + float(hard.gamma)
            logits.append(math.exp(float(scale[i]) * c))
        assert terms.target_cosine_B[i].item() == pytest.approx(target, abs=1e-12)
        assert terms.negative_lse_B[i].item() == pytest.approx(math.log(sum(logits)), abs=1e-10)
        assert terms.hardest_negative_B[i].item() == pytest.approx(hardest, abs=1e-12)
        assert terms.hardest_class_B[i].item() == hardest_class
    hardest, number = hardest_negatives(x, w, y, hardest_class=True)
    torch.testing.assert_close(hardest, terms.hardest_negative_B)
    assert torch.equal(number, terms.hardest_class_B)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("name", ["eager", "chunks of 7"])
def test_gradients_equal_finite_differences(name, kind):
    x, w, y, scale = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(5))
    hard = hard_negatives(kind)

    def terms(x, w, scale):
        return IMPLEMENTATIONS[name](x, w, y, scale, hard)[:2]

    assert torch.autograd.gradcheck(terms, (x, w, scale), eps=1e-6, atol=1e-6)


def outcome(implementation, values, hard, **options):
    x, w, y, scale = (v.clone().requires_grad_() if v.is_floating_point() else v for v in values)
    terms = implementation(x, w, y, scale, hard, hardest_class=True, **options)
    lse = terms.negative_lse_B
    (lse.masked_fill(lse == -torch.inf, 0).square().sum() + terms.target_cosine_B.exp().sum()).backward()
    zero = torch.zeros_like
    return (*(t.detach() for t in terms), *(zero(v) if v.grad is None else v.grad for v in (x, w, scale)))


@pytest.mark.parametrize("classes", [0, 1, 29])
@pytest.mark.parametrize("kind", HARD)
def test_shards_equal_the_definition_whatever_is_kept(classes, kind):
    values, hard = inputs(classes), hard_negatives(kind)
    expected = outcome(softmax_terms_eager, values, hard)
    found = outcome(softmax_terms_chunked, values, hard, chunk_classes=4)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    for kept_bytes in (0, 9 * B * 4 * 3):
        other = outcome(softmax_terms_chunked, values, hard, chunk_classes=4, kept_bytes=kept_bytes)
        assert all(torch.equal(a, b) for a, b in zip(found, other, strict=True))


@pytest.mark.parametrize("name", IMPLEMENTATIONS)
def test_one_sub_center_is_an_ordinary_center_to_the_bit(name):
    x, w, y, scale = inputs(sub_centers=1)
    plain = outcome(IMPLEMENTATIONS[name], (x, w.flatten(0, 1), y, scale), hard_negatives("curricularface"))
    found = outcome(IMPLEMENTATIONS[name], (x, w, y, scale), hard_negatives("curricularface"))
    assert all(torch.equal(a.flatten(), b.flatten()) for a, b in zip(plain, found, strict=True))


class LargestTensor(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.numbers = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        results = function(*arguments, **(named or {}))
        for result in results if isinstance(results, tuple | list) else [results]:
            if isinstance(result, torch.Tensor):
                self.numbers = max(self.numbers, result.numel())
        return results


def test_chunked_holds_no_cosines_to_all_sub_centers():
    x, w, y, scale = (v.requires_grad_() if v.is_floating_point() else v for v in inputs(300, 8))
    with LargestTensor() as whole:
        softmax_terms(x, w, y.clamp(0, 299), scale, None, "eager").negative_lse_B.sum().backward()
    with LargestTensor() as chunked:
        softmax_terms_chunked(x, w, y, scale, None, chunk_classes=16).negative_lse_B.sum().backward()
    assert whole.numbers == B * 300 * 8  # the check sees what it looks for
    assert chunked.numbers == max(300 * 8 * D, B * 300)  # the centres' gradient


SETTINGS = {
    "arcface": {},
    "lh2face": {},  # reads the samples' own centres
    "curricularface": {"sample_rate": 0.4, "exact_hardest_negative": True},
}
ROWS = {None: [B], 2: [5, 4]}


def trained(group):
    """What two steps of each of `SETTINGS` give this process."""
    found = {}
    for name, options in SETTINGS.items():
        head = create_head(name, C, D, sub_centers=K, hardest_class=True, process_group=group, seed=5,
                           generator=torch.Generator().manual_seed(1), row_optimizer=RowSGD(0.9, 0.1, "exact"),
                           **options).double()  # fmt: skip
        size, rank = (None, 0) if group is None else (group.size(), group.rank())
        for step in range(2):
            g = torch.Generator().manual_seed(step)
            x = torch.randn(B, D, generator=g, dtype=torch.float64).split(ROWS[size])[rank].requires_grad_()
            y = torch.randint(-1, C, (B,), generator=g).split(ROWS[size])[rank]
            out = head(x, y)
            out.loss.backward()
            sampled = None if head.sampled is None else head.sampled.index_S + head.class_range[0]
            gradient = head.weight.grad if sampled is None else head.sampled.rows_SD.grad
            names = ("target_cosine_B", "hardest_negative_B", "hardest_class_B", "negative_lse_B")
            values = [x.grad, gradient.clone(), *(getattr(out, name) for name in names)]
            found[name, step] = out.loss.detach(), sampled, head.state_dict()["weight"].clone(), values
            if sampled is None:
                with torch.no_grad():
                    head.weight -= 0.5 * head.weight.grad
                head.zero_grad()
            else:
                head.step(0.5)
    return found


def test_processes_give_the_plain_head():
    plain, parts = trained(None), run_processes(trained, 2)
    for (name, step), (loss, _, weight, values) in plain.items():
        found = [part[name, step] for part in parts]
        if name == "curricularface":  # each process samples its own classes: against a plain head over these
            check_sampled(found, step)
            continue
        torch.testing.assert_close(torch.cat([one[2] for one in found]), weight, rtol=1e-9, atol=1e-9)
        for one in found:
            torch.testing.assert_close(one[0], loss)
        for position, expected in enumerate(values):
            joined = torch.cat([one[3][position] for one in found])
            torch.testing.assert_close(joined, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


def check_sampled(found, step):
    index, weight = (torch.cat([one[part] for one in found]) for part in (1, 2))
    g = torch.Generator().manual_seed(step)
    x, y = torch.randn(B, D, generator=g, dtype=torch.float64), torch.randint(-1, C, (B,), generator=g)
    hardest = [one[3][3] for one in found]
    searched = hardest_negatives(torch.nn.functional.normalize(x), weight, y)[0]
    torch.testing.assert_close(torch.cat(hardest)[y >= 0], searched[y >= 0])
    if step == 0:  # later the margin's t is no longer that of a new head
        head = create_head("curricularface", len(index), D, sub_centers=K).double()
        with torch.no_grad():
            head.weight.copy_(weight[index])
        out = head(x, torch.where(y >= 0, torch.searchsorted(index, y), -1))
        out.loss.backward()
        torch.testing.assert_close(found[0][0], out.loss.detach())
        torch.testing.assert_close(torch.cat([one[3][1] for one in found]), head.weight.grad)


def test_the_loss_of_sub_center_arcface_by_loops():
    head = create_head("arcface", C, D, sub_centers=K, margin=0.5, scale=16.0).double()
    assert head.weight.shape == (C, K, D) and "sub_centers=3" in repr(head)
    x, _, y, _ = inputs()
    y = y.clamp(0, C - 1)
    losses = []
    for i in range(B):
        cosines = class_cosines(x[i], head.weight.detach())
        logits = [16 * c for c in cosines]
        logits[int(y[i])] = 16 * math.cos(math.acos(cosines[int(y[i])]) + 0.5)
        losses.append(math.log(sum(math.exp(v) for v in logits)) - logits[int(y[i])])
    assert head(x, y).losses_B.tolist() == pytest.approx(losses, abs=1e-9)


def test_missed_steps_of_sub_centers_are_caught_up():
    """ "exact" rows follow SGD over all centres with zeros for the missing gradients."""
    head = create_head("cosface", C, D, sub_centers=K, sample_rate=0.3, row_optimizer=RowSGD(0.9, 0.02, "exact"))
    head = head.double()
    dense = torch.nn.Parameter(head.weight.detach().clone())
    sgd = torch.optim.SGD([dense], lr=0.2, momentum=0.9, weight_decay=0.02)
    for step in range(12):
        g = torch.Generator().manual_seed(step)
        x, y = torch.randn(B, D, generator=g, dtype=torch.float64), torch.randint(0, C, (B,), generator=g)
        head(x, y).loss.backward()
        dense.grad = torch.zeros_like(dense).index_copy(0, head.sampled.index_S, head.sampled.rows_SD.grad)
        head.step(0.2)
        sgd.step()
    torch.testing.assert_close(head.state_dict()["weight"], dense.detach(), rtol=1e-12, atol=1e-12)


def test_a_class_has_the_same_sub_centers_in_any_shard():
    whole = create_head("arcface", C, D, sub_centers=K, generator=torch.Generator().manual_seed(4)).weight
    assert torch.equal(
        whole.flatten(0, 1), create_head("arcface", C * K, D, generator=torch.Generator().manual_seed(4)).weight
    )
    assert not torch.equal(whole[:, 0], whole[:, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sub_centers": 0}, "sub_centers is 0, expected a whole number from 1 to 255"),
        ({"sub_centers": 2.0}, r"sub_centers is 2\.0"),
        ({"sub_centers": 3, "implementation": "triton"}, "triton has no kernels for sub-centres"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=message):
        create_head("arcface", C, D, **options)


def test_centers_that_do_not_fit_are_named():
    x, w, y, scale = inputs()
    for wrong in (w[..., :2], w[:, :0], w[None]):
        with pytest.raises(DataError, match=r"or \(C, K, D\) with sub-centres"):
            softmax_terms(x, wrong, y.clamp(0, C - 1), scale)
    with pytest.raises(ConfigError, match="triton has no kernels for sub-centres"):
        softmax_terms(x, w, y.clamp(0, C - 1), scale, implementation="triton")
