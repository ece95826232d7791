"""The same network under another schedule; and what moves the exponents of a learned one."""

import pytest
import torch
from oracle import (
    Joint,
    Recorder,
    Table,
    build_md4,
    build_schedule,
    expected_nelbo,
    oracle_model,
    seeded,
)
from torch import Tensor

from mdcore.diffusion import MD4, GenMD4
from mdcore.schedules import SCHEDULES

JOINT = Joint()
SHARED = [name for name in SCHEDULES if SCHEDULES[name].shared]
every_shared = pytest.mark.parametrize("name", SHARED)


class Timed(Table):
    """A wrong denoiser whose logits grow with the time that it is told."""

    def forward(self, z_t: Tensor, t: Tensor, *rest: Tensor, select: Tensor) -> Tensor:
        logits = super().forward(z_t, t) * (1 + t[:, None, None])
        return logits[select]


@every_shared
def test_the_network_is_told_the_time_of_its_own_schedule_with_the_same_alpha(name: str) -> None:
    own = SCHEDULES.build({"name": "cosine"})
    recorder = Recorder(Table(JOINT))
    other = SCHEDULES.build({"name": name})
    model = MD4(recorder, own, JOINT.vocab_size).with_schedule(other)
    t = torch.tensor([0.1, 0.3, 0.9], dtype=torch.float64)
    z = torch.full((3, JOINT.length), model.mask_id)
    model(z, t, select=z == model.mask_id)
    told = recorder.calls[0][1].double()
    # the network's time is float32: 1e-7 of a time of order one, and alpha moves no faster
    torch.testing.assert_close(own.alpha(told), other.alpha(t), rtol=0, atol=1e-6)


@every_shared
def test_the_bound_of_any_network_is_that_of_its_own_schedule(name: str) -> None:
    """In terms of alpha the integrand does not know the schedule, whatever the network says.

    What differs is hidden at t_min, where tokens are guessed from scratch, and left clean at 1.
    """
    model = MD4(Timed(JOINT), SCHEDULES.build({"name": "linear"}), JOINT.vocab_size)
    other = model.with_schedule(SCHEDULES.build({"name": name}))
    expected, found = expected_nelbo(model, JOINT.x), expected_nelbo(other, JOINT.x)
    unlike = max(m.schedule.hidden(torch.tensor(m.t_min).double()).item() for m in (model, other))
    assert (found - expected).abs().max() < 20 * unlike
    wrong = MD4(Timed(JOINT), other.schedule, JOINT.vocab_size)  # told the other schedule's time
    if name != "linear":
        assert (expected_nelbo(wrong, JOINT.x) - expected).abs().max() > 100 * unlike


@every_shared
def test_a_network_without_time_input_is_used_as_it_is(name: str) -> None:
    model = oracle_model(JOINT, {"name": "linear"}).eval()
    other = model.with_schedule(SCHEDULES.build({"name": name}))
    assert other.denoiser is model.denoiser
    assert not other.training
    assert model.schedule is not other.schedule


def test_weights_mode_and_precision_are_shared() -> None:
    model = MD4(Table(JOINT), SCHEDULES.build({"name": "linear"}), JOINT.vocab_size)
    model.compute_dtype = torch.bfloat16
    other = model.with_schedule(SCHEDULES.build({"name": "cosine"}))
    assert other.training
    assert other.compute_dtype == torch.bfloat16
    (own,), (shared,) = model.parameters(), other.parameters()
    assert shared is own


@pytest.mark.parametrize("swapped", [False, True])
def test_a_schedule_for_each_token_is_refused(swapped: bool) -> None:
    learned = build_schedule({"name": "learned_polynomial"}, JOINT.vocab_size)
    first, second = learned, build_schedule({"name": "linear"}, JOINT.vocab_size)
    if swapped:
        first, second = second, first
    model = build_md4(Table(JOINT), first, JOINT.vocab_size)
    with pytest.raises(ValueError, match="LearnedPolynomial has an alpha for each token"):
        model.with_schedule(second)


# Learned exponents


def descend(loss: str, steps: int = 80, seed: int = 0) -> Tensor:
    """Exponents (V,) after stochastic gradient descent from 1 with the exact denoiser."""
    model = oracle_model(JOINT, {"name": "learned_polynomial"})
    assert isinstance(model, GenMD4)
    torch.nn.init.constant_(model.schedule.raw, torch.tensor(1.0).expm1().log().item())
    optimizer = torch.optim.SGD(model.schedule.parameters(), lr=0.2)
    generator = seeded(seed)
    of = {"reinforce": GenMD4, "plain": MD4}[loss]
    for _ in range(steps):
        rows = torch.multinomial(JOINT.p, 64, replacement=True, generator=generator)
        of.loss(model, JOINT.x[rows], generator=generator).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.schedule.exponent.detach()


def test_plain_autograd_drives_exponents_to_zero_and_reinforce_does_not() -> None:
    """With the exact posterior the bound is -log p whatever the exponents: there is no reason to
    move. Plain autograd sees that a small exponent makes the weight small and not that it masks
    more tokens."""
    assert (descend("plain") < 0.3).all()
    assert (descend("reinforce").log().abs() < 0.5).all()  # a walk, and no drift
