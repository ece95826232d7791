"""Backbones: the same logits however they are asked for, and a batch that can be learned by heart.

float32 sums in another order differ by some 1e-6 of logits of order one: hence CLOSE.
"""

import inspect
import math

import pytest
import torch
from oracle import build_md4, build_schedule, seeded
from torch import Tensor, nn

from mdcore.backbones import BACKBONES
from mdcore.backbones.layers import Conv
from mdcore.diffusion import MD4
from mdcore.evaluation import bits_per_token
from mdcore.objectives import freeze
from mdcore.registry import Spec

V, L, CLASSES = 5, 8, 3
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
SIZES = {"vocab_size": V, "length": L}
TINY = {
    "transformer": {"width": 32, "depth": 2, "heads": 2},
    "unet": {"shape": (2, 4, 1), "embedding": 16, "widths": (16, 24), "blocks": (1, 1)}
    | {"middle_heads": 2},
}
PACKING = [
    name
    for name in BACKBONES
    if "segments" in inspect.signature(BACKBONES[name].forward).parameters
]

every_backbone = pytest.mark.parametrize("name", list(BACKBONES))


def build(name: str, *, stir: float = 0.1, **options: object) -> nn.Module:
    """A small backbone in evaluation mode, its zero-initialised gates stirred open."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = BACKBONES.build({"name": name, **TINY[name], **options}, **SIZES)
    generator = seeded()
    for parameter in backbone.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data += stir * noise
    return backbone.eval()


KINDS = {
    "plain": {},
    "time": {"time_conditioned": True},
    "classes": {"num_classes": CLASSES},
    "both": {"time_conditioned": True, "num_classes": CLASSES},
}


@pytest.fixture(params=[(name, kind) for name in BACKBONES for kind in KINDS], ids="-".join)
def backbone(request: pytest.FixtureRequest) -> nn.Module:
    name, kind = request.param
    return build(name, **KINDS[kind])


@pytest.fixture
def labels(request: pytest.FixtureRequest) -> Tensor | None:
    """Labels, if the backbone of this test has classes."""
    _, kind = request.node.callspec.params["backbone"]
    return torch.arange(6) % CLASSES if "num_classes" in KINDS[kind] else None


def tokens(rows: int = 6, length: int = L) -> Tensor:
    return torch.randint(V + 1, (rows, length), generator=seeded(7))


T = torch.linspace(0.1, 1, 6)


@torch.no_grad()
def test_selected_logits_are_those_of_the_whole(backbone: nn.Module, labels: Tensor | None) -> None:
    z = tokens()
    whole = backbone(z, T, labels)
    assert whole.shape == (6, L, V)
    for select in (z == V, torch.ones_like(z).bool(), torch.zeros_like(z).bool()):
        part = backbone(z, T, labels, select=select)
        assert part.shape == (select.sum(), V)
        torch.testing.assert_close(part, whole[select], **CLOSE)


@torch.no_grad()
def test_batch_mates_change_nothing(backbone: nn.Module, labels: Tensor | None) -> None:
    z = tokens()
    together = backbone(z, T, labels)
    for row in range(6):
        own = slice(row, row + 1)
        alone = backbone(z[own], T[own], None if labels is None else labels[own])
        torch.testing.assert_close(alone, together[own], **CLOSE)


@torch.no_grad()
def test_every_position_sees_every_other(backbone: nn.Module, labels: Tensor | None) -> None:
    """And itself, and the order of the others: none of it is causal, local or a bag of words."""
    z = tokens()
    before = backbone(z, T, labels)
    for place in range(L):
        changed = z.clone()
        changed[:, place] = (z[:, place] + 1) % (V + 1)
        difference = (backbone(changed, T, labels) - before).abs().amax(-1)
        assert (difference.amax(0) > 1e-4).all()
    swapped = z.clone()
    swapped[:, [0, 1]] = z[:, [1, 0]]
    different = z[:, 0] != z[:, 1]
    assert different.any()
    last = (backbone(swapped, T, labels) - before)[different, -1]
    assert last.abs().max() > 1e-4


@torch.no_grad()
def test_time_matters_only_where_it_should(backbone: nn.Module, labels: Tensor | None) -> None:
    z = tokens()
    difference = (backbone(z, T, labels) - backbone(z, T / 2, labels)).abs().amax()
    assert (difference > 1e-3) == backbone.time_conditioned
    assert backbone.time_conditioned or difference == 0


@every_backbone
@torch.no_grad()
def test_no_label_is_the_label_after_the_last(name: str) -> None:
    backbone = build(name, num_classes=CLASSES)
    z = tokens()
    outputs = [backbone(z, T, torch.full((6,), label)) for label in range(CLASSES + 1)]
    assert torch.equal(backbone(z, T), outputs[CLASSES])
    for one in range(CLASSES + 1):
        for other in range(one):
            assert (outputs[one] - outputs[other]).abs().max() > 1e-3


@every_backbone
@pytest.mark.parametrize("kind", ["plain", "time"])
def test_a_label_without_classes_is_refused(name: str, kind: str) -> None:
    with pytest.raises(ValueError, match="no classes; leave the label out"):
        build(name, **KINDS[kind])(tokens(), T, torch.zeros(6, dtype=torch.long))


@pytest.mark.parametrize("name", PACKING)
@pytest.mark.parametrize("kind", list(KINDS))
@torch.no_grad()
def test_packed_texts_are_texts_of_their_own(name: str, kind: str) -> None:
    """Also padding: a segment that nobody reads changes nothing for the others."""
    backbone = build(name, **KINDS[kind])
    labels = torch.tensor([2, 0]) if "num_classes" in KINDS[kind] else None
    z, t = tokens(2), T[:2]
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1], [4, 4, 4, 4, 4, 4, 9, 9]])
    packed = backbone(z, t, labels, segments=segments)
    for row, number in [(0, 0), (0, 1), (1, 4), (1, 9)]:
        place = segments[row] == number
        own = slice(row, row + 1)
        alone = backbone(z[own, place], t[own], None if labels is None else labels[own])
        torch.testing.assert_close(packed[own, place], alone, **CLOSE)
    assert (packed - backbone(z, t, labels)).abs().max() > 1e-3
    select = z == V
    assert select.any()
    torch.testing.assert_close(
        backbone(z, t, labels, select=select, segments=segments), packed[select], **CLOSE
    )


@pytest.mark.parametrize(
    ("name", "limit"),
    [("transformer", f"reads {L}. Shorten"), ("unet", "reads whole images of 2x")],
)
def test_longer_than_the_model_reads(name: str, limit: str) -> None:
    with pytest.raises(ValueError, match=f"{L + 1} tokens; this model {limit}"):
        build(name)(tokens(6, L + 1), T)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("transformer", {"width": 30, "heads": 4}, "width 30 must be a multiple of"),
        ("unet", {"shape": (8,)}, "a U-Net reads images"),
        ("unet", {"shape": (2, 2, 1)}, r"shape \(2, 2, 1\) has not the codec's 8 tokens"),
        ("unet", {"widths": (16,)}, "1 widths and 2 blocks; give one of each"),
        ("unet", {"widths": (16, 16, 16), "blocks": (1, 1, 1)}, "cannot be cut into cells of 4"),
        ("unet", {"middle_patch": 2}, "cannot be cut into cells of 4; choose fewer widths or"),
        ("unet", {"middle_width": 20}, "middle_width 20 must be a multiple of 4 x middle_heads"),
    ],
)
def test_sizes_that_do_not_fit(name: str, options: Spec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"widths": (16,), "blocks": (3,)},  # the paper's for CIFAR-10: one resolution
        {"shape": (2, 2, 2), "widths": (16,), "blocks": (1,), "middle_patch": 2},  # for ImageNet
        {"shape": (1, 2, 4), "widths": (16,), "blocks": (0,), "middle_depth": 0},
    ],
)
@torch.no_grad()
def test_every_shape_of_unet_selects_and_sees_all(options: Spec) -> None:
    backbone = build("unet", **options)
    z = tokens()
    whole = backbone(z, T)
    assert whole.shape == (6, L, V)
    torch.testing.assert_close(backbone(z, T, select=z == V), whole[z == V], **CLOSE)
    changed = z.clone()
    changed[:, 0] = (z[:, 0] + 1) % (V + 1)
    assert ((backbone(changed, T) - whole).abs().amax((0, 2)) > 1e-5).all()


@torch.no_grad()
def test_a_kernel_as_a_matrix_is_the_same_convolution() -> None:
    """Rows run over the window's rows, its columns, and the inputs: unfolded by hand here."""
    conv = Conv(3, 4)
    conv.bias.normal_(generator=seeded(1))
    x = torch.randn(2, 3, 5, 6, generator=seeded())
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)  # (B, inputs, H, W, row, column)
    expected = windows.permute(0, 2, 3, 4, 5, 1).flatten(3) @ conv.weight.T + conv.bias
    torch.testing.assert_close(conv(x), expected.permute(0, 3, 1, 2), **CLOSE)


@every_backbone
def test_dropout_acts_in_training_only(name: str) -> None:
    backbone, plain = build(name, dropout=0.5), build(name)
    z = tokens()
    assert torch.equal(backbone(z, T), plain(z, T))
    backbone.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert (backbone(z, T) - backbone(z, T)).abs().max() > 1e-3


@every_backbone
@torch.no_grad()
def test_logits_are_float32_whatever_the_matrix_work(name: str) -> None:
    model = MD4(build(name), build_schedule({"name": "linear"}, V), V).eval()
    z = tokens()
    exact = model(z, T)
    model.compute_dtype = torch.bfloat16
    rough = model(z, T)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    # bfloat16 keeps 8 bits: 0.4 % a product, over a few layers
    assert (rough - exact).norm() < 0.05 * exact.norm()
    nelbo = model.nelbo(z.clamp(max=V - 1), T, z)
    assert nelbo.dtype == torch.float64


@every_backbone
@pytest.mark.parametrize("kind", list(KINDS))
@torch.no_grad()
def test_frozen_weights_change_no_bit_of_the_logits(name: str, kind: str) -> None:
    model = MD4(build(name, **KINDS[kind]), build_schedule({"name": "linear"}, V), V).eval()
    model.compute_dtype = torch.bfloat16
    z = tokens()
    cast_in_each_call = model(z, T)
    freeze(model)
    assert torch.equal(model(z, T), cast_in_each_call)
    held = {weight.dtype for weight in model.parameters() if weight.dim() == 2}
    assert torch.bfloat16 in held


@every_backbone
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_parameter_learns(name: str, kind: str) -> None:
    model = MD4(build(name, **KINDS[kind]), build_schedule({"name": "linear"}, V), V)
    x = torch.randint(V, (16, L), generator=seeded())
    labels = torch.arange(16) % (CLASSES + 1) if "num_classes" in KINDS[kind] else None
    model.loss(x, labels, generator=seeded()).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0


@every_backbone
@pytest.mark.parametrize("spec", [{"name": "cosine"}, {"name": "learned_polynomial"}])
def test_a_small_batch_is_learned_by_heart(name: str, spec: Spec) -> None:
    """Five equally likely sequences: no bound lies below log 5, and this one comes close.

    They are shifts of one cycle, which relative positions tell apart as well as absolute ones.
    """
    schedule = build_schedule(spec, V)
    denoiser = build(name, stir=0.0, time_conditioned=not schedule.shared)
    model = build_md4(denoiser, schedule, V).train()
    x = torch.tensor([0, 2, 1, 4, 3])[(torch.arange(5)[:, None] + torch.arange(L)) % 5]
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, betas=(0.9, 0.99))
    decay = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=200)
    generator = seeded()
    for _ in range(200):
        optimizer.zero_grad()
        model.loss(x.repeat(8, 1), generator=generator).backward()
        optimizer.step()
        decay.step()
    result = bits_per_token(model.eval(), x.repeat(50, 1), draws=10, generator=seeded())
    best = math.log2(5) / L
    assert result.mean > best - 4 * result.standard_error
    assert result.mean < 1.3 * best
