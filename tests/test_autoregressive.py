"""The causal baseline: nothing leaks from the right, and its probabilities are those of the chain.

float32 sums in another order differ by some 1e-6 of logits of order one: hence CLOSE.
"""

from pathlib import Path

import pytest
import torch
from oracle import Chain, Joint, chi_square_excess, product, seeded
from test_backbones import KINDS, build
from torch import Tensor

from mdcore.autoregressive import Autoregressive
from mdcore.backbones import UNet
from mdcore.checkpoint import (
    Checkpoint,
    ModelConfig,
    build_model,
    load_any_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mdcore.codecs import CODECS
from mdcore.evaluation import bits_per_token
from mdcore.filters import FILTERS

V, L = 5, 8
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
JOINT = Joint()
TEMPERATURE_0 = FILTERS.build({"name": "temperature", "temperature": 0.0})


def causal(**options: object) -> Autoregressive:
    return Autoregressive(build("transformer", causal=True, **options), V)


@pytest.fixture(params=list(KINDS))
def model(request: pytest.FixtureRequest) -> Autoregressive:
    return causal(**KINDS[request.param])


def condition_of(model: Autoregressive, rows: int) -> Tensor | None:
    conditioning = model.denoiser.conditioning
    classes = 0 if conditioning is None else conditioning.num_classes
    return torch.arange(rows) % classes if classes else None


@torch.no_grad()
def test_a_token_changes_the_logits_of_later_ones_alone(model: Autoregressive) -> None:
    x = torch.randint(V, (3, L), generator=seeded())
    condition = condition_of(model, 3)
    logits = model(x, condition)
    for place in range(L):
        other = x.clone()
        other[:, place] = (x[:, place] + 1) % V
        changed = model(other, condition)
        torch.testing.assert_close(changed[:, : place + 1], logits[:, : place + 1], **CLOSE)
        moved = (changed - logits)[:, place + 1 :].abs().amax((0, 2))
        assert (moved > 1e-3).all(), place  # or the network would not read at all


@torch.no_grad()
def test_a_packed_text_sees_its_own_past_alone() -> None:
    backbone = build("transformer", causal=True)
    x = torch.randint(V, (1, L), generator=seeded())
    segments = torch.tensor([[0] * 3 + [1] * 5])
    packed = backbone(x, torch.zeros(1), segments=segments)
    alone = backbone(x[:, 3:], torch.zeros(1))
    torch.testing.assert_close(packed[:, 3:], alone, **CLOSE)


@torch.no_grad()
@pytest.mark.parametrize("cuts", [(1,) * L, (3, 1, 4), (L,)])
def test_what_is_read_bit_by_bit_has_the_logits_of_the_whole(
    model: Autoregressive, cuts: tuple[int, ...]
) -> None:
    x = torch.randint(V, (3, L), generator=seeded())
    condition = condition_of(model, 3)
    caches = model.denoiser.new_caches()
    t = torch.zeros(3)
    parts = [model.denoiser(part, t, condition, caches=caches) for part in x.split(cuts, dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), model.denoiser(x, t, condition), **CLOSE)
    with pytest.raises(ValueError, match=f"{L + 1} tokens; this model reads {L}"):
        model.denoiser(x[:, :1], t, condition, caches=caches)


@torch.no_grad()
def test_writing_reads_each_token_once() -> None:
    """A prompt in one call, then a token a call; the same tokens as with all read each time."""
    model = causal()
    z = torch.full((2, L), V)
    z[0, :3], z[1, :2] = torch.tensor([1, 0, 3]), torch.tensor([2, 2])
    lengths = []
    model.denoiser.register_forward_pre_hook(lambda _, inputs: lengths.append(inputs[0].shape[1]))
    x = model.write(z, generator=seeded(), filters=[TEMPERATURE_0])
    assert lengths == [3, 1, 1, 1, 1, 1]
    likeliest = model(x).argmax(-1)
    assert torch.equal(x, torch.where(z == V, likeliest, z))


@torch.no_grad()
def test_selected_logits_are_those_of_all_positions(model: Autoregressive) -> None:
    x = torch.randint(V, (3, L), generator=seeded())
    select = torch.rand(3, L, generator=seeded()) < 0.5
    condition = condition_of(model, 3)
    torch.testing.assert_close(
        model(x, condition, select=select), model(x, condition)[select], **CLOSE
    )


def test_the_likelihood_is_the_chain_rule() -> None:
    """With the exact conditionals the product is the joint probability of every sequence."""
    nats = Autoregressive(Chain(JOINT), JOINT.vocab_size).nats(JOINT.x)
    torch.testing.assert_close(nats, -JOINT.p.log())


@torch.no_grad()
def test_a_networks_probabilities_sum_to_one(model: Autoregressive) -> None:
    x = product(V, 4)
    for label in (0, 1):
        condition = None if condition_of(model, 1) is None else torch.full((len(x),), label)
        total = torch.exp(-model.nats(x, condition)).sum()
        assert total.item() == pytest.approx(1, abs=1e-5)


def test_bits_are_exact_in_one_pass() -> None:
    model = Autoregressive(Chain(JOINT), JOINT.vocab_size)
    x = JOINT.x[[1, 9, 9, 13]]
    result = bits_per_token(model, x, draws=5, generator=seeded())
    expected = -JOINT.p[[1, 9, 9, 13]].log2().mean().item() / JOINT.length
    assert result.mean == pytest.approx(expected)
    assert (result.standard_error, result.draws) == (0, 1)


def test_loss_is_the_mean_and_has_a_gradient() -> None:
    model = causal()
    x = torch.randint(V, (3, L), generator=seeded())
    loss = model.loss(x, generator=seeded())
    torch.testing.assert_close(loss, model.nats(x).mean() / L)
    loss.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_writing_has_the_law_of_the_joint() -> None:
    """3000 samples against the 27 probabilities; 4 standard deviations of chi-square."""
    masks = torch.full((3000, JOINT.length), JOINT.vocab_size)
    x = Autoregressive(Chain(JOINT), JOINT.vocab_size).write(masks, generator=seeded())
    counts = JOINT.index(x).bincount(minlength=len(JOINT.p))
    assert chi_square_excess(counts, JOINT.p) < 4


def test_given_tokens_stay_and_what_follows_depends_on_them() -> None:
    """x_3 given x_1 and x_2 is the joint's conditional; x_1 and x_2 are never drawn again."""
    z = torch.tensor([[2, 1, JOINT.vocab_size]]).repeat(3000, 1)
    x = Autoregressive(Chain(JOINT), JOINT.vocab_size).write(z, generator=seeded())
    assert torch.equal(x[:, :2], z[:, :2])
    like = (JOINT.x[:, :2] == z[0, :2]).all(1)
    counts = x[:, 2].bincount(minlength=JOINT.vocab_size)
    assert chi_square_excess(counts, JOINT.p[like] / JOINT.p[like].sum()) < 4


def test_batch_mates_change_no_sample(model: Autoregressive) -> None:
    z = torch.full((3, L), V)
    z[1, 2:5] = torch.tensor([1, 0, 3])
    condition = condition_of(model, 3)
    together = model.write(z, condition, generator=[seeded(seed) for seed in range(3)])
    for row in range(3):
        label = None if condition is None else condition[row : row + 1]
        alone = model.write(z[row : row + 1], label, generator=[seeded(row)])
        assert torch.equal(alone[0], together[row])


@torch.no_grad()
def test_filters_are_applied() -> None:
    model = causal()
    x = model.write(torch.full((2, L), V), generator=seeded(), filters=[TEMPERATURE_0])
    assert torch.equal(x, model(x).argmax(-1))


def test_a_network_that_looks_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match="Transformer looks at all tokens"):
        Autoregressive(build("transformer"), V)
    config = ModelConfig(
        codec={"name": "pixels", "height": 4, "width": 4, "channels": 1},
        backbone={"name": "unet", "widths": [16], "blocks": [1]},
        objective={"name": "autoregressive"},
    )
    with pytest.raises(ValueError, match=f"{UNet.__name__} looks at all tokens"):
        build_model(config)


def test_a_checkpoint_comes_back_and_is_not_taken_for_diffusion(tmp_path: Path) -> None:
    config = ModelConfig(
        codec={"name": "characters", "length": L},
        backbone={"name": "transformer", "width": 16, "depth": 1, "heads": 2},
        objective={"name": "autoregressive"},
    )
    model, codec = build_model(config).eval(), CODECS.build(config.codec)
    save_checkpoint(tmp_path / "scorer", Checkpoint(model=model, codec=codec, config=config))
    loaded = load_any_checkpoint(tmp_path / "scorer")
    assert isinstance(loaded.model, Autoregressive)
    assert loaded.config == config
    loaded.model.compute_dtype = torch.float32
    x = torch.randint(27, (2, L), generator=seeded())
    assert torch.equal(loaded.model(x), model(x))
    with pytest.raises(ValueError, match="autoregressive model, which knows no masks"):
        load_checkpoint(tmp_path / "scorer")
