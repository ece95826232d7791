"""A tiny joint distribution that is known entirely, and denoisers made from it to test against."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mdcore.diffusion import MD4, GenMD4
from mdcore.registry import Spec
from mdcore.schedules import SCHEDULES, MaskingSchedule

SCHEDULE_SPECS: list[Spec] = [
    *({"name": name} for name in SCHEDULES),
    {"name": "polynomial", "exponent": 0.5},
    {"name": "geometric", "beta_min": 0.02, "beta_max": 3.0},  # ends far from 1 and 0
]


def spec_id(spec: Spec) -> str:
    return "-".join(map(str, spec.values()))


SHARED_SPECS = [spec for spec in SCHEDULE_SPECS if SCHEDULES[spec["name"]].shared]
shared_schedules = pytest.mark.parametrize("spec", SHARED_SPECS, ids=spec_id)
every_schedule = pytest.mark.parametrize("spec", SCHEDULE_SPECS, ids=spec_id)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build_schedule(spec: Spec, vocab_size: int) -> MaskingSchedule:
    """The schedule of a spec; one that is learned is spread out, so that tokens really differ."""
    schedule = SCHEDULES.build(spec, vocab_size=vocab_size)
    for parameter in schedule.parameters():
        parameter.data += torch.linspace(-0.8, 0.8, vocab_size)
    return schedule


def build_md4(denoiser: nn.Module, schedule: MaskingSchedule, vocab_size: int) -> MD4:
    return (MD4 if schedule.shared else GenMD4)(denoiser, schedule, vocab_size)


class Joint:
    """A distribution over all V^L sequences: `x` (V^L, L) and their probabilities `p` (V^L,)."""

    def __init__(self, vocab_size: int = 3, length: int = 3, seed: int = 0) -> None:
        self.vocab_size, self.length = vocab_size, length
        self.x = product(vocab_size, length)
        noise = torch.randn(len(self.x), generator=seeded(seed), dtype=torch.float64)
        self.p = (1.5 * noise).softmax(0)

    def agreement(self, z: Tensor, hidden: Tensor) -> Tensor:
        """Proportional to q(z | x) for every x: (B, L) and 1 - alpha (B, 1|V) -> (B, V^L).

        The factors alpha of revealed tokens are the same for each x that agrees with z; they are
        left out, so that given tokens have a posterior at t = 1 too.
        """
        hidden_x = hidden.expand(-1, self.vocab_size)[:, self.x]
        revealed = (z[:, None] == self.x).double()
        return torch.where(z[:, None] == self.vocab_size, hidden_x, revealed).prod(-1)

    def posterior(self, z: Tensor, hidden: Tensor) -> Tensor:
        """Exact p(x_l = v | z), (B, L, V)."""
        joint = self.p * self.agreement(z, hidden)
        one_hot = nn.functional.one_hot(self.x, self.vocab_size).double()
        marginal = (joint @ one_hot.flatten(1)).unflatten(1, one_hot.shape[1:])
        return marginal / marginal.sum(-1, keepdim=True)

    def surprise(self, x: Tensor, z: Tensor, hidden: Tensor) -> Tensor:
        """Exact -log p(x | z), (B, L) and (B, L) -> (B,)."""
        joint = self.p * self.agreement(z, hidden)
        own = joint.gather(1, self.index(x)[:, None]).squeeze(1)
        return torch.log(joint.sum(1) / own)

    def index(self, x: Tensor) -> Tensor:
        """Place of each sequence in `self.x`, (B, L) -> (B,)."""
        return index(x, self.vocab_size)


class Oracle(nn.Module):
    """The Denoiser that gives the exact posterior of a Joint.

    With a schedule for each token the posterior depends on the time, and so does the oracle.
    """

    def __init__(self, joint: Joint, schedule: MaskingSchedule | None = None) -> None:
        super().__init__()
        self.joint = joint
        self.schedule = schedule
        self.time_conditioned = schedule is not None and not schedule.shared

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, *,
        select: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        hidden = torch.ones(len(z_t), 1, dtype=torch.float64)
        if self.schedule is not None and self.time_conditioned:
            hidden = self.schedule.hidden(t.double()).detach()
        logits = self.joint.posterior(z_t, hidden).log()
        return logits if select is None else logits[select]


class Positional(nn.Module):
    """The Denoiser of independent tokens: fixed logits (L, V), whatever the context."""

    def __init__(self, logits: Tensor, *, time_conditioned: bool = True) -> None:
        super().__init__()
        self.logits = logits
        self.time_conditioned = time_conditioned

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, *,
        select: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        logits = self.logits.expand(len(z_t), -1, -1)
        return logits if select is None else logits[select]


class Table(nn.Module):
    """A wrong but learnable Denoiser: random logits for every z_t, and for each class if any."""

    time_conditioned = True

    def __init__(self, joint: Joint, classes: int = 1) -> None:
        super().__init__()
        self.states = joint.vocab_size + 1
        shape = (classes, self.states**joint.length, joint.length, joint.vocab_size)
        self.logits = nn.Parameter(torch.randn(shape, generator=seeded(1)))

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, *,
        select: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        label = torch.zeros(len(z_t), dtype=torch.long) if condition is None else condition
        logits = self.logits[label, index(z_t, self.states)]
        return logits if select is None else logits[select]


class Chain(nn.Module):
    """The causal Denoiser that gives a Joint's own p(x_l | x_1 ... x_{l-1}), by summing it out."""

    causal = True
    time_conditioned = False

    def __init__(self, joint: Joint) -> None:
        super().__init__()
        self.joint = joint

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, *,
        select: Tensor | None = None, caches: list[Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        new = z_t.shape[1]
        if caches is not None:
            z_t = torch.cat([*caches, z_t], dim=1)
            caches[:] = [z_t]
        assert (z_t[:, 0] == self.joint.vocab_size).all()  # the start
        rows = []
        for row in z_t:
            for place in range(len(row)):
                same = (self.joint.x[:, :place] == row[1 : place + 1]).all(1)
                tokens = self.joint.x[same, place]
                rows.append(tokens.bincount(self.joint.p[same], self.joint.vocab_size).log())
        logits = torch.stack(rows).view(*z_t.shape, -1)[:, -new:]
        return logits if select is None else logits[select]

    def new_caches(self) -> list[Tensor]:
        """What has been read, to be read on from."""
        return []


class Recorder(nn.Module):
    """A Denoiser that keeps what it was asked: one (z_t, t, select) a call."""

    def __init__(self, denoiser: nn.Module) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.time_conditioned = denoiser.time_conditioned
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(
        self, z_t: Tensor, t: Tensor, condition: Tensor | None = None, *,
        select: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        assert select is not None
        self.calls.append((z_t, t, select))
        return self.denoiser(z_t, t, condition, select=select)


def oracle_model(joint: Joint, spec: Spec) -> MD4:
    """A model whose denoiser is the exact posterior."""
    schedule = build_schedule(spec, joint.vocab_size)
    return build_md4(Oracle(joint, schedule), schedule, joint.vocab_size)


def product(size: int, length: int) -> Tensor:
    """All sequences of numbers below `size`, in order, (size^length, length)."""
    return torch.cartesian_prod(*[torch.arange(size)] * length).view(-1, length)


def index(x: Tensor, size: int) -> Tensor:
    """Place of each sequence in `product(size, L)`, (B, L) -> (B,)."""
    return (x * size ** torch.arange(x.shape[1] - 1, -1, -1)).sum(-1)


def every_mask(model: MD4, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All that q(z_t | x) can produce: x, t, z_t, each 2^L times as long, and q(z_t | x)."""
    patterns = product(2, x.shape[1]).bool()
    x, t = (rows.repeat_interleave(len(patterns), 0) for rows in (x, t))
    masked = patterns.repeat(len(x) // len(patterns), 1)
    hidden = model.schedule.hidden(t.double()).expand(-1, model.vocab_size).gather(1, x)
    q = torch.where(masked, hidden, 1 - hidden).prod(-1)
    return x, t, torch.where(masked, model.mask_id, x), q


def over_masks(model: MD4, x: Tensor, t: Tensor, value: Callable[..., Tensor]) -> Tensor:
    """The mean of value(x, t, z_t) over z_t ~ q(z_t | x), without any chance: (B,)."""
    *rows, q = every_mask(model, x, t)
    return (q * value(*rows)).unflatten(0, (len(x), -1)).sum(1)


def over_times(t_min: float, value: Callable[[Tensor], Tensor], nodes: int = 192) -> Tensor:
    """The mean of value over t ~ U[t_min, 1], value mapping (N,) to (N, ...).

    Gauss-Legendre in log t, where every schedule is smooth up to t = 0.
    """
    place, weight = map(torch.from_numpy, np.polynomial.legendre.leggauss(nodes))
    span = -np.log(t_min)
    t = torch.exp(span * (place - 1) / 2)
    return torch.einsum("n,n...->...", weight * span / 2 * t, value(t)) / (1 - t_min)


@torch.no_grad()
def expected_nelbo(model: MD4, x: Tensor, label: int | None = None) -> Tensor:
    """The mean of model.nelbo over times and masks, without any chance, (B, L) -> (B,)."""
    return over_times(model.t_min, at_times(model, x, label))


def at_times(model: MD4, x: Tensor, label: int | None = None) -> Callable[[Tensor], Tensor]:
    """The mean of model.nelbo over masks as a function of the time: (N,) -> (N, B)."""

    def nelbo(x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return model.nelbo(x, t, z, None if label is None else torch.full((len(x),), label))

    def at(times: Tensor) -> Tensor:
        rows, t = x.repeat(len(times), 1), times.repeat_interleave(len(x))
        return over_masks(model, rows, t, nelbo).unflatten(0, (len(times), -1))

    return at


def within(values: Tensor, expected: Tensor | float, errors: float = 4.0) -> bool:
    """Whether the mean of independent values (N, ...) is as expected, to some standard errors."""
    standard_error = values.std(0) / len(values) ** 0.5
    return bool(((values.mean(0) - expected).abs() <= errors * standard_error).all())


def chi_square_excess(counts: Tensor, p: Tensor) -> float:
    """How many standard deviations the chi-square statistic lies above its mean.

    The rarest outcomes are pooled into one that expects 5 counts, below which the statistic is not
    chi-square yet. An outcome that cannot be and is there counts as infinitely far off.
    """
    if counts[p == 0].any():
        return float("inf")
    expected, order = (p[p > 0] * counts.sum()).sort()
    observed = counts[p > 0][order].double()
    rare = int((expected.cumsum(0) < 5).sum()) + 1
    observed, expected = (torch.cat([v[:rare].sum()[None], v[rare:]]) for v in (observed, expected))
    freedom = max(1, len(expected) - 1)
    statistic = ((observed - expected) ** 2 / expected).sum()
    return float((statistic - freedom) / (2 * freedom) ** 0.5)


def total_variation(samples: Tensor, joint: Joint) -> float:
    counts = joint.index(samples).bincount(minlength=len(joint.p)).double()
    return float((counts / len(samples) - joint.p).abs().sum() / 2)


def masks(rows: int, model: MD4, length: int) -> Tensor:
    return torch.full((rows, length), model.mask_id)


def equal_sequences(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return len(first) == len(second) and all(map(torch.equal, first, second))
