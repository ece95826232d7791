"""Masking schedules: how likely a token is still clean at time t.

Every value carries a trailing token axis: size 1 if all tokens share the schedule (MD4), size V if
each token has its own (GenMD4). One formula then serves both, by broadcasting.
"""

import abc
import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdcore.registry import Registry

SCHEDULES: "Registry[MaskingSchedule]" = Registry("schedule")


class MaskingSchedule(nn.Module, abc.ABC):
    """The forward process: at time t a token is still clean with probability alpha(t).

    Results keep the dtype of t; give float64 where differences of alpha matter.
    """

    shared = True
    """True if the token axis has size 1."""

    @abc.abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Probability of being clean, (*) in [0, 1] -> (*, 1|V), from 1 at t=0 down to 0 at t=1."""

    @abc.abstractmethod
    def alpha_prime(self, t: Tensor) -> Tensor:
        """The derivative d alpha / dt <= 0, (*) -> (*, 1|V)."""

    @abc.abstractmethod
    def weight(self, t: Tensor) -> Tensor:
        """-alpha'/(1 - alpha) >= 0 in closed form, (*) in (0, 1] -> (*, 1|V)."""

    def hidden(self, t: Tensor) -> Tensor:
        """Probability of being masked, 1 - alpha, (*) -> (*, 1|V).

        A schedule whose alpha rounds to 1 at small t > 0 gives it in a form that does not vanish.
        """
        return 1 - self.alpha(t)

    def time(self, alpha: Tensor) -> Tensor:
        """The t in [0, 1] at which a shared schedule has this alpha, (*) -> (*).

        Raises:
            ValueError: each token has a schedule of its own, so there is no one inverse.
        """
        raise ValueError(
            f"{type(self).__name__} has an alpha for each token and no single inverse; "
            "use a schedule shared by all tokens."
        )

    def reveal(self, s: Tensor, t: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Probability that a token masked at t is clean at s < t, (*) -> (*, 1|V).

        With sigma > 0, revealed tokens return to the mask with that probability (ReMDM,
        arXiv 2503.00307). At s = 0 everything is revealed, even where alpha(0) < 1, so that no
        mask is ever left over.
        """
        hidden_s = torch.where(s[..., None] == 0, 0.0, self.hidden(s))
        hidden_t = self.hidden(t)
        return (hidden_t - hidden_s + sigma * self.alpha(t)) / hidden_t


@SCHEDULES.register("linear")
class Linear(MaskingSchedule):
    """alpha = 1 - t."""

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - t[..., None]

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -torch.ones_like(t)[..., None]

    def weight(self, t: Tensor) -> Tensor:
        return 1 / t[..., None]

    def time(self, alpha: Tensor) -> Tensor:
        return 1 - alpha


@SCHEDULES.register("cosine")
class Cosine(MaskingSchedule):
    """alpha = 1 - cos(pi/2 (1 - t)), MD4's cosine; MDLM's cos(pi t / 2) is another schedule.

    Written with sin(pi t / 2), which is the same and exact at both ends.
    """

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - torch.sin(math.pi / 2 * t)[..., None]

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -math.pi / 2 * torch.cos(math.pi / 2 * t)[..., None]

    def weight(self, t: Tensor) -> Tensor:
        return math.pi / 2 * torch.tan(math.pi / 2 * (1 - t))[..., None]

    def time(self, alpha: Tensor) -> Tensor:
        return 2 / math.pi * torch.asin(1 - alpha)


@SCHEDULES.register("polynomial")
class Polynomial(MaskingSchedule):
    """alpha = 1 - t^w with exponent w > 0: a larger w keeps tokens clean for longer."""

    def __init__(self, exponent: float = 2.0) -> None:
        super().__init__()
        if not exponent > 0:
            raise ValueError(f"exponent is {exponent}; a polynomial schedule needs one above 0.")
        self.exponent = exponent

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - self.hidden(t)

    def hidden(self, t: Tensor) -> Tensor:
        return t[..., None] ** self.exponent

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -self.exponent * t[..., None] ** (self.exponent - 1)

    def weight(self, t: Tensor) -> Tensor:
        return self.exponent / t[..., None]

    def time(self, alpha: Tensor) -> Tensor:
        return (1 - alpha) ** (1 / self.exponent)


@SCHEDULES.register("geometric")
class Geometric(MaskingSchedule):
    """alpha = exp(-b) with b = beta_min^(1-t) beta_max^t.

    It ends near 1 and 0, at exp(-beta_min) and exp(-beta_max): the bound accounts for both ends,
    and the last sampling step reveals everything.
    """

    def __init__(self, beta_min: float = 1e-5, beta_max: float = 20.0) -> None:
        super().__init__()
        if not 0 < beta_min < beta_max:
            raise ValueError(
                f"beta_min {beta_min} and beta_max {beta_max} must satisfy 0 < min < max."
            )
        self.beta_min = beta_min
        self.log_ratio = math.log(beta_max / beta_min)

    def _beta(self, t: Tensor) -> Tensor:
        return self.beta_min * torch.exp(self.log_ratio * t)[..., None]

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self._beta(t))

    def hidden(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self._beta(t))

    def alpha_prime(self, t: Tensor) -> Tensor:
        beta = self._beta(t)
        return -torch.exp(-beta) * beta * self.log_ratio

    def weight(self, t: Tensor) -> Tensor:
        beta = self._beta(t)
        return beta * self.log_ratio / torch.expm1(beta)

    def time(self, alpha: Tensor) -> Tensor:
        return (torch.log(-torch.log(alpha) / self.beta_min) / self.log_ratio).clamp(0, 1)


@SCHEDULES.register("learned_polynomial")
class LearnedPolynomial(MaskingSchedule):
    """alpha_v = 1 - t^(w_v) with a learned exponent w_v for each token (GenMD4).

    A token with a small exponent is masked early by the forward process, so it is revealed late.
    """

    shared = False

    def __init__(self, vocab_size: int, initial_exponent: float = 1.0) -> None:
        super().__init__()
        if not initial_exponent > 0:
            raise ValueError(f"initial_exponent is {initial_exponent}; it must be above 0.")
        raw = math.log(math.expm1(initial_exponent))
        self.raw = nn.Parameter(torch.full((vocab_size,), raw))

    @property
    def exponent(self) -> Tensor:
        """The exponents w > 0, (V,)."""
        return functional.softplus(self.raw)

    def alpha(self, t: Tensor) -> Tensor:
        return 1 - self.hidden(t)

    def hidden(self, t: Tensor) -> Tensor:
        return t[..., None] ** self.exponent

    def alpha_prime(self, t: Tensor) -> Tensor:
        return -self.exponent * t[..., None] ** (self.exponent - 1)

    def weight(self, t: Tensor) -> Tensor:
        return self.exponent / t[..., None]
