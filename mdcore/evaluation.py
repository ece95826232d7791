"""Likelihood: the bound in bits, with its standard error; of a causal model, the exact one."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.draws import low_discrepancy_times
from mdcore.objectives import Model


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo mean, its standard error over independent draws, and their number."""

    mean: float
    standard_error: float
    draws: int

    def scaled(self, factor: float) -> "Estimate":
        """The estimate in another unit."""
        return Estimate(self.mean * factor, self.standard_error * abs(factor), self.draws)

    @property
    def perplexity(self) -> float:
        """Of an estimate in bits per token: exp(nats per token)."""
        return 2**self.mean

    @property
    def perplexity_standard_error(self) -> float:
        """To first order: the perplexity times the standard error in nats."""
        return self.perplexity * math.log(2) * self.standard_error


@torch.no_grad()
def bits_per_token_draws(
    model: Model,
    tokens: Tensor,
    condition: Tensor | None = None,
    *,
    draws: int,
    generator: torch.Generator,
    batch_size: int = 32,
    timesteps: int | None = None,
) -> Iterator[float]:
    """Bits per token of one pass over the examples after another, each with new times and masks.

    Args:
        model: in evaluation mode.
        tokens: (n, L) of any integer type, on the model's device.
        condition: (n,) long, or None.
        draws: number of passes; a model whose likelihood is exact needs and gets but one.
        generator: draws times and masks.
        batch_size: examples in one call; changes the noise, not what is estimated.
        timesteps: T of the process in discrete time, whose bound is looser; None: continuous time.

    Yields:
        One independent, unbiased estimate a pass.

    Raises:
        ValueError: timesteps for a model that is no diffusion, or fewer than 1.
    """
    if timesteps is not None and (timesteps < 1 or not isinstance(model, MD4)):
        raise ValueError(
            f"timesteps is {timesteps}: a diffusion has at least 1, an exact likelihood none."
        )
    for _ in range(1 if model.exact else draws):
        nats = 0.0
        for start in range(0, len(tokens), batch_size):
            x = tokens[start : start + batch_size].long()
            label = None if condition is None else condition[start : start + batch_size]
            if timesteps is not None and isinstance(model, MD4):
                loss = discrete_loss(model, x, label, timesteps=timesteps, generator=generator)
            else:
                loss = model.loss(x, label, generator=generator)
            nats += len(x) * loss.item()
        yield nats / len(tokens) / math.log(2)


def discrete_loss(
    model: MD4,
    x: Tensor,
    condition: Tensor | None = None,
    *,
    timesteps: int,
    generator: torch.Generator,
) -> Tensor:
    """The bound in discrete time on a batch, with low-discrepancy steps.

    It is that of D3PM with an absorbing state (arXiv 2107.03006), whose T steps are those of the
    model's schedule on a uniform grid.

    Args:
        model: in evaluation mode.
        x: (B, L) long in [0, V).
        condition: (B,) long, or None.
        timesteps: T.
        generator: draws the steps and the masks.

    Returns:
        () float64, nats per token.
    """
    u = low_discrepancy_times(len(x), generator=generator, device=x.device)
    step = (u * timesteps).long()
    z_t = model.mask(x, (step + 1) / timesteps, generator=generator)
    nelbo = model.nelbo_discrete(x, step, z_t, timesteps, condition)
    return nelbo.mean() / x.shape[1]


def bits_per_token(
    model: Model,
    tokens: Tensor,
    condition: Tensor | None = None,
    *,
    draws: int,
    generator: torch.Generator,
) -> Estimate:
    """The bound in bits per token: per dimension for images, per character for characters.

    Args:
        model: in evaluation mode.
        tokens: (n, L) long.
        condition: (n,) long, or None.
        draws: independent passes over the examples, at least 2.
        generator: draws times and masks.

    Raises:
        ValueError: fewer than 2 draws, or no examples.
    """
    if draws < 2 or not len(tokens):
        raise ValueError(
            f"{draws} draws of {len(tokens)} examples; give at least 2 draws and 1 example."
        )
    passes = list(bits_per_token_draws(model, tokens, condition, draws=draws, generator=generator))
    return estimate(passes)


def estimate(passes: list[float]) -> Estimate:
    """Mean and standard error of independent passes; a single one is exact and has no error."""
    values = torch.tensor(passes, dtype=torch.float64)
    spread = values.std().item() if len(passes) > 1 else 0.0
    return Estimate(values.mean().item(), spread / math.sqrt(len(passes)), len(passes))
