"""Samplers: a time grid and a rule; the loop is written once.

Speed comes from deciding the reveals first. Every masked position holds a uniform number, its
arrival, and is revealed in the step in which the schedule's level rises above it. That does not
depend on the network, so the network is asked only in steps, for rows and at positions where
something is revealed. The law of the samples is that of drawing each step anew.
"""

import abc
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.draws import Generators, inverse_cdf, uniform
from mdcore.filters import Filter
from mdcore.registry import Registry
from mdcore.schedules import MaskingSchedule

SAMPLERS: "Registry[Sampler]" = Registry("sampler")

GRIDS: dict[str, Callable[[float], float]] = {
    "uniform": lambda share: share,
    "cosine": lambda share: math.sin(math.pi / 2 * share),
}
"""Share of the steps that is left, from 1 to 0 -> time. Exact at both ends."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did.

    Attributes:
        index: steps done.
        nfe: network calls so far.
        t: time reached; where rows have times of their own, that of the slowest row.
        z: (B, L) long, the tokens after the step.
        revealed: (B, L) bool, the positions that turned from mask to token in this step.
        logits: (N, V) float32 before the filters, at the positions the network was asked for (the
            revealed ones; all that were masked before the step, if observed), or None.
        selected: (B, L) bool, those positions, N in all.
    """

    index: int
    nfe: int
    t: float
    z: Tensor
    revealed: Tensor
    logits: Tensor | None
    selected: Tensor


@dataclass(frozen=True, slots=True)
class Start:
    """Where a trajectory begins, if not at masks and given tokens alone.

    The law of what follows is that of the trajectory gone on with, as long as the generator is
    another one: what is masked at t is masked because of the numbers drawn before.

    Attributes:
        t: time in (0, 1]; on a grid it is the grid's time nearest to it.
        given: (B, L) bool, the tokens that stay; None for all that are not the mask. The others
            may be masked again, by samplers that do so.
    """

    t: float = 1.0
    given: Tensor | None = None


FROM_MASKS = Start()


@dataclass(kw_only=True)
class _Chain:
    """A batch on its way from masks to tokens. Its tensors are its own and change in place."""

    model: MD4
    condition: Tensor | None
    generator: Generators
    filters: Sequence[Filter]
    observe: bool
    start: Start
    z: Tensor
    given: Tensor = field(init=False)
    masks: Tensor = field(init=False)
    arrival: Tensor = field(init=False)
    value: Tensor = field(init=False)
    level: Tensor = field(init=False)
    selected: Tensor = field(init=False)
    nfe: int = 0

    def __post_init__(self) -> None:
        masked = self.masked
        self.given = ~masked if self.start.given is None else self.start.given
        self.masks = masked.sum(-1)
        self.arrival, self.value = self.uniform(), self.uniform()
        self.level = torch.zeros(len(self.z), 1, dtype=torch.float64, device=self.z.device)
        self.selected = torch.zeros_like(masked)

    @property
    def masked(self) -> Tensor:
        return self.z == self.model.mask_id

    def uniform(self) -> Tensor:
        return uniform(self.z.shape, self.generator, self.z.device)

    def ask(self, selected: Tensor, t: Tensor) -> Tensor | None:
        """Logits at the selected positions, with a call for just the rows that have any."""
        self.selected = selected
        rows = selected.any(-1)
        if not rows.any():
            return None
        self.nfe += 1
        condition = None if self.condition is None else self.condition[rows]
        logits: Tensor = self.model(self.z[rows], t[rows], condition, select=selected[rows])
        if logits.isnan().any():
            raise FloatingPointError(
                f"The model returned NaN at call {self.nfe} in {self.model.compute_dtype}; "
                "run it in float32 or load another checkpoint."
            )
        return logits

    def propose(self, candidate: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
        """Draw a token at each candidate position -> z with them, and the logits."""
        selected = self.masked if self.observe else candidate
        logits = self.ask(selected, t)
        z = self.z.clone()
        if logits is not None and candidate.any():
            z[candidate] = self.draw(logits[candidate[selected]], self.value[candidate])
        return z, logits

    def draw(self, logits: Tensor, u: Tensor) -> Tensor:
        """Tokens of (N, V) logits and (N,) uniform numbers, after the filters: (N,).

        In chunks, so that many positions of a large vocabulary fit in memory.
        """
        chunks = zip(torch.split(logits, 256), torch.split(u, 256), strict=True)
        return torch.cat([inverse_cdf(self.filtered(part), v) for part, v in chunks])

    def filtered(self, logits: Tensor) -> Tensor:
        for change in self.filters:
            logits = change(logits)
        return logits


def _check(z: Tensor, mask_id: int) -> None:
    if z.dim() != 2 or z.dtype != torch.long:
        raise ValueError(f"z has shape {tuple(z.shape)} and type {z.dtype}; give (B, L) long.")
    if z.numel() and not 0 <= int(z.min()) <= int(z.max()) <= mask_id:
        raise ValueError(f"z has tokens outside [0, {mask_id}]; the last is the mask.")


Move = tuple[Tensor, Tensor, Tensor | None]
"""What a rule returns: z after the step, the positions revealed, the logits."""


class Sampler(abc.ABC):
    """Turns masks into tokens step by step.

    Args:
        steps: number of steps T.
        grid: how the steps are spread over time: "uniform", or "cosine", which takes smaller
            steps at first.
        filters: applied in order to the logits before a token is drawn.
    """

    remasks = False
    """Whether a token may become a mask again."""
    by_arrival = False
    """Whether masks go in the order of numbers that are drawn at the start and depend on the seed
    alone: under every shared schedule, on every grid, the seed then reveals in the same order and
    draws each value with the same number."""

    def __init__(
        self, steps: int = 64, grid: str = "uniform", filters: Sequence[Filter] = ()
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; a sampler needs at least 1.")
        if grid not in GRIDS:
            raise ValueError(f"Unknown grid {grid!r}. Known: {', '.join(GRIDS)}.")
        self.steps = steps
        self.grid = grid
        self.filters = tuple(filters)

    @torch.no_grad()
    def trajectory(
        self,
        model: MD4,
        z: Tensor,
        condition: Tensor | None = None,
        *,
        generator: Generators,
        observe: bool = False,
        start: Start = FROM_MASKS,
    ) -> Iterator[Step]:
        """Sample, one step at a time.

        Args:
            model: in evaluation mode.
            z: (B, L) long in [0, V]; tokens that are not the mask V are given and stay.
            condition: (B,) long, or None.
            generator: one for the batch, or one a row: then a row's sample does not depend on its
                batch mates.
            observe: ask for the logits at every masked position at every step, for a viewer.
            start: a time, and which tokens are given, to go on from the midst of a trajectory.

        Yields:
            A Step a step; after the last no mask is left.

        Raises:
            ValueError: z is not (B, L) long with tokens in [0, V].
            FloatingPointError: the model returned NaN.
        """
        _check(z, model.mask_id)
        chain = _Chain(
            model=model,
            condition=condition,
            generator=generator,
            filters=self.filters,
            observe=observe,
            start=start,
            z=z,
        )
        for index, (t, s) in enumerate(self._intervals(chain), start=1):
            chain.selected = torch.zeros_like(chain.given)
            chain.z, revealed, logits = self._advance(chain, t, s)
            yield Step(index, chain.nfe, s.max().item(), chain.z, revealed, logits, chain.selected)

    def __call__(
        self, model: MD4, z: Tensor, condition: Tensor | None = None, *, generator: Generators
    ) -> Tensor:
        """The tokens at the end of a trajectory, (B, L) long."""
        for step in self.trajectory(model, z, condition, generator=generator):
            z = step.z
        return z

    def times(self, schedule: MaskingSchedule, masked: int, t: float = 1.0) -> Tensor:
        """The times at which a run stands, from t to 0: (T + 1,) float64 for T steps.

        Args:
            schedule: the model's.
            masked: how many positions are masked at the start.
            t: the time of the start; of a grid, the nearest but the last counts.
        """
        to_time = GRIDS[self.grid]
        shares = [to_time(1 - index / self.steps) for index in range(self.steps + 1)]
        times = torch.tensor(shares, dtype=torch.float64)
        return times[int((times[:-1] - t).abs().argmin()) :]

    def _intervals(self, chain: _Chain) -> Iterator[tuple[Tensor, Tensor]]:
        """The times (t, s) of each step, (B,) float64 each."""
        times = self.times(chain.model.schedule, 0, chain.start.t).to(chain.z.device)
        rows = torch.ones(len(chain.z), dtype=torch.float64, device=chain.z.device)
        return ((rows * t, rows * s) for t, s in pairwise(times))

    @abc.abstractmethod
    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        """One step of the rule from t to s < t."""


def _reverse(chain: _Chain, t: Tensor, s: Tensor, sigma: Tensor) -> Move:
    """A step of the reverse process with numbers drawn anew; sigma (B, 1) is for remasking.

    With a schedule for each token the chance to be revealed depends on the token. Positions are
    chosen with the largest chance first, a token is drawn, and it is accepted with the ratio of its
    chance to the largest: exact, and still only the chosen positions need the network.
    """
    reveal = chain.model.schedule.reveal(s, t, sigma)
    most = reveal.amax(-1, keepdim=True)
    chain.value = chain.uniform()
    masked = chain.masked
    candidate = masked & (chain.uniform() < most)
    z, logits = chain.propose(candidate, t)
    drawn = z.clamp(max=chain.model.vocab_size - 1)
    chance = reveal.expand(-1, chain.model.vocab_size).gather(-1, drawn) / most
    u = chain.uniform()  # for either question: a position is masked or revealed, never both
    refused = candidate & (u >= chance)
    remasked = ~masked & ~chain.given & (u < sigma)
    z = torch.where(refused | remasked, chain.model.mask_id, z)
    return z, candidate & ~refused, logits


def _remasking_limit(chain: _Chain, t: Tensor, s: Tensor) -> Tensor:
    """The largest sigma that leaves the marginals right, (B, 1); 0 at the end."""
    schedule = chain.model.schedule
    limit = (schedule.hidden(s) / schedule.alpha(t)).amin(-1, keepdim=True).clamp(max=1)
    return torch.where((s > 0)[:, None], limit, 0.0)  # 0 / 0 in a single step from 1 to 0


def _reveal_best(
    chain: _Chain, t: Tensor, s: Tensor, score: Callable[[Tensor, Tensor], Tensor]
) -> Move:
    """Reveal the positions with the highest score, as many as the schedule expects by time s.

    `score` maps probabilities (N, V) and drawn tokens (N,) to (N,). An order that looks at the
    predictions does not sample from the model's distribution.
    """
    masked = chain.masked
    began = torch.full_like(s, chain.start.t)
    hidden_s, hidden = chain.model.schedule.hidden(torch.stack([s, began])).mean(-1)
    left = torch.floor(chain.masks * (s > 0) * hidden_s / hidden).long()
    count = (masked.sum(-1) - left).clamp(min=0)
    chain.value = chain.uniform()
    selected = masked & (count > 0)[:, None]
    z, logits = chain.propose(selected, t)
    if logits is None or not selected.any():
        return chain.z, torch.zeros_like(masked), logits
    own = logits[selected[masked]] if chain.observe else logits
    scores = torch.full(z.shape, -torch.inf, dtype=torch.float32, device=z.device)
    scores[selected] = score(chain.filtered(own).softmax(-1), z[selected])
    rank = scores.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
    revealed = selected & (rank < count[:, None])
    return torch.where(revealed, z, chain.z), revealed, logits


@SAMPLERS.register("ancestral")
class Ancestral(Sampler):
    """The reverse process on a grid of times: the model's own distribution as T grows."""

    by_arrival = True

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        if not chain.model.schedule.shared:
            return _reverse(chain, t, s, torch.zeros_like(chain.level))
        chain.level = 1 - (1 - chain.level) * (1 - chain.model.schedule.reveal(s, t))
        candidate = chain.masked & (chain.arrival < chain.level)
        z, logits = chain.propose(candidate, t)
        return z, candidate, logits


@SAMPLERS.register("first_hitting")
class FirstHitting(Sampler):
    """One token a call, at the exact time of its reveal (Zheng et al., arXiv 2409.02908).

    The reverse process in continuous time, without error. Steps and grid play no part: there is a
    step for each mask. Needs a schedule shared by all tokens.
    """

    by_arrival = True

    def times(self, schedule: MaskingSchedule, masked: int, t: float = 1.0) -> Tensor:
        """The times at which the schedule expects one more token each, (masked + 1,) float64."""
        return _reached(schedule, t, torch.linspace(0, 1, masked + 1, dtype=torch.float64))

    def _intervals(self, chain: _Chain) -> Iterator[tuple[Tensor, Tensor]]:
        masked = chain.masked
        arrivals = chain.arrival.masked_fill(~masked, 1).sort(-1).values
        most = int(masked.sum(-1).max()) if len(masked) else 0
        for reveal in range(most):
            chain.level = arrivals[:, reveal, None]
            t = _reached(chain.model.schedule, chain.start.t, arrivals[:, reveal])
            yield t, t

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        candidate = chain.masked & (chain.arrival <= chain.level)
        z, logits = chain.propose(candidate, t)
        return z, candidate, logits


def _reached(schedule: MaskingSchedule, t: float, share: Tensor) -> Tensor:
    """The time before t at which that share of what is masked at t is revealed, (*) -> (*)."""
    hidden = schedule.hidden(torch.tensor(t, dtype=torch.float64)).to(share.device)
    return schedule.time(1 - hidden * (1 - share))


@SAMPLERS.register("confidence")
class Confidence(Sampler):
    """The likeliest drawn tokens first (MaskGIT, LLaDA)."""

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        return _reveal_best(chain, t, s, lambda p, x: p.gather(-1, x[:, None]).squeeze(-1))


@SAMPLERS.register("entropy")
class Entropy(Sampler):
    """The positions whose prediction has the lowest entropy first."""

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        return _reveal_best(chain, t, s, lambda p, x: torch.xlogy(p, p).sum(-1))


@SAMPLERS.register("margin")
class Margin(Sampler):
    """The positions whose two best candidates lie furthest apart first (Dream)."""

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        return _reveal_best(chain, t, s, lambda p, x: -p.topk(2).values.diff(dim=-1).squeeze(-1))


@SAMPLERS.register("remask_cap")
class RemaskCap(Sampler):
    """The reverse process in which revealed tokens are masked again with probability <= eta.

    ReMDM (arXiv 2503.00307): sigma = min(eta, (1 - alpha_s) / alpha_t).
    """

    remasks = True

    def __init__(
        self,
        steps: int = 64,
        grid: str = "uniform",
        filters: Sequence[Filter] = (),
        eta: float = 0.02,
    ) -> None:
        super().__init__(steps, grid, filters)
        self.eta = _checked_eta(eta)

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        return _reverse(chain, t, s, _remasking_limit(chain, t, s).clamp(max=self.eta))


@SAMPLERS.register("remask_rescale")
class RemaskRescale(Sampler):
    """The reverse process in which tokens are masked again with eta times the largest probability.

    ReMDM (arXiv 2503.00307): sigma = eta min(1, (1 - alpha_s) / alpha_t).
    """

    remasks = True

    def __init__(
        self,
        steps: int = 64,
        grid: str = "uniform",
        filters: Sequence[Filter] = (),
        eta: float = 0.05,
    ) -> None:
        super().__init__(steps, grid, filters)
        self.eta = _checked_eta(eta)

    def _advance(self, chain: _Chain, t: Tensor, s: Tensor) -> Move:
        return _reverse(chain, t, s, self.eta * _remasking_limit(chain, t, s))


def _checked_eta(eta: float) -> float:
    if not 0 <= eta <= 1:
        raise ValueError(f"eta is {eta}; a remasking probability must be in [0, 1].")
    return eta
