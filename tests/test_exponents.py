"""What moves the exponents of a learned schedule."""

import torch
from oracle import Joint, oracle_model, seeded
from torch import Tensor

from mdcore.diffusion import MD4, GenMD4

JOINT = Joint()


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
