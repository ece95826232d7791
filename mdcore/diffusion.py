"""MD4 and GenMD4: the forward process, the continuous-time bound, and the training loss.

Equation numbers are those of Shi, Han, Wang, Doucet, Titsias, "Simplified and Generalized Masked
Diffusion for Discrete Data" (arXiv 2406.04329v4).
"""

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdcore.draws import BatchGenerator, Generators, low_discrepancy_times, uniform
from mdcore.logits import float32_logits, read_logits
from mdcore.schedules import MaskingSchedule


class Denoiser(Protocol):
    """A network that predicts the clean tokens at masked positions."""

    time_conditioned: bool

    def __call__(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """z_t (B, L), t (B,), condition (B,) -> (B, L, V), or (N, V) at the selected positions."""
        ...


def score(logits: Tensor, alpha_t: Tensor) -> Tensor:
    """The score s(m, t)_j = alpha_t / (1 - alpha_t) mu_j of Proposition 1, (..., V) -> (..., V)."""
    return alpha_t / (1 - alpha_t) * logits.softmax(-1)


def score_to_logits(score: Tensor, alpha_t: Tensor) -> Tensor:
    """The inverse of `score`: log mu_j = log s_j + log (1 - alpha_t) / alpha_t, (..., V)."""
    return score.log() + torch.log((1 - alpha_t) / alpha_t)


def _at_tokens(values: Tensor, x: Tensor) -> Tensor:
    """Values (B, 1|V) at the tokens x (B, L) -> (B, L)."""
    return values.gather(-1, x) if values.shape[-1] > 1 else values.expand_as(x)


class MD4(nn.Module):
    """Masked diffusion with a denoiser and a schedule; is itself a Denoiser.

    Args:
        denoiser: an nn.Module that is a Denoiser.
        schedule: how tokens are masked over time.
        vocab_size: V; the mask id is V.

    Raises:
        ValueError: the schedule is not shared by all tokens and the denoiser ignores the time.
    """

    exact = False
    """Whether `loss` is the likelihood itself, the same in each call."""

    t_min = 1e-4
    """The integral of the bound runs over [t_min, 1]; the rest is in closed form."""

    def __init__(self, denoiser: nn.Module, schedule: MaskingSchedule, vocab_size: int) -> None:
        super().__init__()
        if not schedule.shared and not denoiser.time_conditioned:
            raise ValueError(
                "With a schedule for each token the true posterior depends on the time: build the "
                "backbone with time_conditioned=True."
            )
        self.denoiser = denoiser
        self.schedule = schedule
        self.vocab_size = vocab_size
        self.compute_dtype = torch.float32

    @property
    def mask_id(self) -> int:
        """The token that stands for the mask: V."""
        return self.vocab_size

    @property
    def time_conditioned(self) -> bool:
        """Whether the logits depend on t."""
        return bool(self.denoiser.time_conditioned)

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """The denoiser's logits in float32, its matrix work done in `compute_dtype`.

        Args:
            z_t: (B, L) long in [0, V].
            t: (B,) in [0, 1].
            condition: (B,) long, or None.
            select: (B, L) bool with N trues, or None.

        Returns:
            (N, V) at the selected positions, or (B, L, V).
        """
        return float32_logits(self.denoiser, self.compute_dtype, z_t, t, condition, select=select)

    def mask(self, x: Tensor, t: Tensor, *, generator: Generators) -> Tensor:
        """Draw z_t ~ q(z_t | x), eq. 1: (B, L) long and (B,) -> (B, L) long."""
        alpha_t = _at_tokens(self.schedule.alpha(t.double()), x)
        clean = uniform(x.shape, generator, x.device) < alpha_t
        return torch.where(clean, x, self.mask_id)

    def nelbo(self, x: Tensor, t: Tensor, z_t: Tensor, condition: Tensor | None = None) -> Tensor:
        """One-sample estimate of the negative evidence lower bound on log p(x), eqs. 5 and 12.

        Args:
            x: (B, L) long in [0, V).
            t: (B,) in [t_min, 1].
            z_t: (B, L) long, drawn with `mask` at the times t.
            condition: (B,) long, or None.

        Returns:
            (B,) nats per example, float64. The mean over t ~ U[t_min, 1] and z_t is the bound,
            reconstruction and prior terms included.
        """
        weight = self.schedule.weight(t.double())

        def terms(logits: Tensor, x: Tensor, weight_x: Tensor, row: Tensor) -> Tensor:
            nats = weight_x * functional.cross_entropy(logits, x, reduction="none")
            if self.schedule.shared:  # with one weight for all tokens the two terms cancel
                return nats
            return nats - weight_x + (weight[row] * logits.softmax(-1)).sum(-1)

        integrand = self._over_masked(terms, x, t, z_t, condition, weight)
        return (1 - self.t_min) * integrand + self._ends(x)

    def _over_masked(
        self,
        terms: Callable[..., Tensor],
        x: Tensor,
        t: Tensor,
        z_t: Tensor,
        condition: Tensor | None,
        factor: Tensor,
    ) -> Tensor:
        """The sum over masked positions of terms(logits, x, factor (B, 1|V) at x, row), (B,)."""
        masked = z_t == self.mask_id
        row, _ = masked.nonzero(as_tuple=True)
        values = read_logits(
            terms,
            (x[masked], _at_tokens(factor, x)[masked], row),
            self.denoiser,
            self.compute_dtype,
            z_t,
            t,
            condition,
            select=masked,
        )
        every = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
        return every.masked_scatter(masked, values.double()).sum(-1)

    def _ends(self, x: Tensor) -> Tensor:
        """Nats of the bound outside [t_min, 1], (B, L) -> (B,).

        Reconstruction at t_min: the best guess from a mask is proportional to the tokens' masking
        probabilities. Prior at 1: a schedule that ends at alpha(1) > 0 leaves tokens clean, each
        of which costs log V.
        """
        start = torch.tensor(self.t_min, dtype=torch.float64, device=x.device)
        hidden = self.schedule.hidden(start).expand(self.vocab_size)
        reconstruction = torch.xlogy(hidden, hidden.sum()) - torch.xlogy(hidden, hidden)
        prior = self.schedule.alpha(torch.ones_like(start)) * math.log(self.vocab_size)
        return (reconstruction + prior)[x].sum(-1)

    def nelbo_discrete(
        self, x: Tensor, step: Tensor, z_t: Tensor, steps: int, condition: Tensor | None = None
    ) -> Tensor:
        """One-sample estimate of the bound of the process with `steps` finite steps.

        Args:
            x: (B, L) long in [0, V).
            step: (B,) long in [0, steps): t = (step + 1) / steps, s = step / steps.
            z_t: (B, L) long, drawn with `mask` at the times t.
            steps: T, at least 1.
            condition: (B,) long, or None.

        Returns:
            (B,) nats per example, float64; the mean over uniform steps and z_t is the bound, which
            falls to the continuous one as T grows.
        """
        t = (step.double() + 1) / steps
        reveal = self.schedule.reveal(step.double() / steps, t)

        def terms(logits: Tensor, x: Tensor, reveal_x: Tensor, row: Tensor) -> Tensor:
            nats = reveal_x * functional.cross_entropy(logits, x, reduction="none")
            if self.schedule.shared:
                return nats
            # the KL divergence of "stays masked", 0 if all tokens agree
            stay = ((1 - reveal[row]) * logits.double().softmax(-1)).sum(-1)
            return nats + torch.xlogy(1 - reveal_x, 1 - reveal_x) - torch.xlogy(1 - reveal_x, stay)

        total = steps * self._over_masked(terms, x, t, z_t, condition, reveal)
        left_clean = _at_tokens(self.schedule.alpha(torch.ones_like(t)), x).sum(-1)
        return total + left_clean * math.log(self.vocab_size)

    def to_times(self, u: Tensor) -> Tensor:
        """Times of the bound's integral from uniform numbers: [0, 1) -> [t_min, 1), (B,)."""
        return self.t_min + (1 - self.t_min) * u

    def _draw_times(self, batch: int, generator: BatchGenerator, device: torch.device) -> Tensor:
        return self.to_times(low_discrepancy_times(batch, generator=generator, device=device))

    def loss(
        self, x: Tensor, condition: Tensor | None = None, *, generator: BatchGenerator
    ) -> Tensor:
        """The bound on a batch with low-discrepancy times, to be minimised.

        Args:
            x: (B, L) long in [0, V).
            condition: (B,) long, or None.
            generator: draws the times and the masks.

        Returns:
            () float64, nats per token.
        """
        t = self._draw_times(len(x), generator, x.device)
        z_t = self.mask(x, t, generator=generator)
        return self.nelbo(x, t, z_t, condition).mean() / x.shape[1]


class GenMD4(MD4):
    """MD4 whose schedule is learned, a function for each token."""

    t_min = 1e-3

    def loss(
        self, x: Tensor, condition: Tensor | None = None, *, generator: BatchGenerator
    ) -> Tensor:
        """The bound, with the gradient that flows to the schedule through the masks.

        Two masks at the same times give leave-one-out REINFORCE. The value returned is the bound;
        the REINFORCE term adds its gradient and nothing else. Arguments as in MD4.
        """
        t = self._draw_times(len(x), generator, x.device).repeat_interleave(2)
        twice = x.repeat_interleave(2, dim=0)  # neighbours, so that processes can share the draws
        z_t = self.mask(twice, t, generator=generator)
        label = None if condition is None else condition.repeat_interleave(2)
        nelbo = self.nelbo(twice, t, z_t, label)
        first, second = nelbo.view(-1, 2).unbind(1)
        log_q_first, log_q_second = self.log_q(twice, t, z_t).view(-1, 2).unbind(1)
        surrogate = 0.5 * (first - second).detach() * (log_q_first - log_q_second)
        return (nelbo.mean() + (surrogate - surrogate.detach()).mean()) / x.shape[1]

    def log_q(self, x: Tensor, t: Tensor, z_t: Tensor) -> Tensor:
        """Log-probability of the masks, log q(z_t | x), (B,) nats, summed over all positions."""
        alpha_t = _at_tokens(self.schedule.alpha(t.double()), x)
        return torch.where(z_t == self.mask_id, 1 - alpha_t, alpha_t).log().sum(-1)
