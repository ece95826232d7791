"""MD4 and GenMD4 against enumeration: every mask, every sequence, and hardly any Monte Carlo.

What limits the enumerations is that logits are float32: 2e-7 a logarithm, a few of them a bound.
"""

import math
from collections.abc import Iterator

import pytest
import torch
from oracle import (
    Joint,
    Oracle,
    Positional,
    Table,
    build_md4,
    build_schedule,
    chi_square_excess,
    every_mask,
    every_schedule,
    expected_nelbo,
    index,
    oracle_model,
    over_masks,
    product,
    seeded,
    shared_schedules,
    within,
)
from torch import Tensor

from mdcore.diffusion import MD4, GenMD4, score, score_to_logits
from mdcore.draws import low_discrepancy_times, uniform
from mdcore.registry import Spec
from mdcore.schedules import SCHEDULES, LearnedPolynomial

FLOAT32 = 1e-6
JOINT = Joint()


def table_model(spec: Spec, joint: Joint = JOINT) -> MD4:
    schedule = build_schedule(spec, joint.vocab_size)
    return build_md4(Table(joint), schedule, joint.vocab_size)


def at(t: float, rows: int) -> Tensor:
    return torch.full((rows,), t, dtype=torch.float64)


def uncertainty(model: MD4, t: float) -> Tensor:
    """Mean over z_t of -log p(x | z_t) for each x: what is left to be said at time t."""

    def surprise(x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return JOINT.surprise(x, z, model.schedule.hidden(t))

    return over_masks(model, JOINT.x, at(t, len(JOINT.x)), surprise).detach()


def ends(model: MD4, x: Tensor) -> Tensor:
    """Cost of guessing the tokens hidden at t_min, and of naming those clean at 1, from scratch."""
    hidden = model.schedule.hidden(at(model.t_min, 1)).expand(1, model.vocab_size)
    guess = hidden / hidden.sum()
    left = model.schedule.alpha(at(1.0, 1)).expand(1, model.vocab_size)
    cost = -hidden * guess.log() + left * math.log(model.vocab_size)
    return cost[0][x].sum(-1).detach()


# The forward process


@every_schedule
@pytest.mark.parametrize("t", [0.15, 0.5, 0.9])
def test_masks_have_the_law_of_q(spec: Spec, t: float) -> None:
    """All positions together, which also proves them independent."""
    model = table_model(spec)
    x = torch.tensor([[2, 0, 1]])
    rows = 4000
    z = model.mask(x.expand(rows, -1), at(t, rows), generator=seeded(3))
    _, _, states, q = every_mask(model, x, at(t, 1))
    counts = index(z, 4).bincount(minlength=4**3)
    p = torch.zeros(4**3, dtype=torch.float64).index_add(0, index(states, 4), q.detach())
    assert chi_square_excess(counts, p) < 4


@every_schedule
def test_masking_rate_of_each_token(spec: Spec) -> None:
    model = table_model(spec)
    x = torch.arange(3).repeat(5000, 1)
    masked = model.mask(x, at(0.4, len(x)), generator=seeded()) == model.mask_id
    hidden = 1 - model.schedule.alpha(at(0.4, 1)).expand(1, 3)[0]
    assert within(masked.double(), hidden.detach())


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "geometric"])
def test_nothing_is_masked_at_zero_and_everything_at_one(name: str) -> None:
    model = table_model({"name": name})
    x = JOINT.x
    assert torch.equal(model.mask(x, at(0.0, len(x)), generator=seeded()), x)
    assert (model.mask(x, at(1.0, len(x)), generator=seeded()) == model.mask_id).all()


def test_a_row_has_a_generator_of_its_own() -> None:
    model = table_model({"name": "linear"})
    x = JOINT.x[:5]
    together = model.mask(x, at(0.5, 5), generator=[seeded(n) for n in range(5)])
    alone = [model.mask(x[n : n + 1], at(0.5, 1), generator=[seeded(n)]) for n in range(5)]
    assert torch.equal(together, torch.cat(alone))
    with pytest.raises(ValueError, match="3 generators for 5 rows; give one, or one a row"):
        uniform((5, 2), [seeded()] * 3, torch.device("cpu"))


@pytest.mark.parametrize("batch", [1, 2, 7, 49, 98, 103])
def test_low_discrepancy_times(batch: int) -> None:
    """One time in each of B equal parts of [0, 1), and each time by itself uniform."""
    generator, device = seeded(), torch.device("cpu")
    draws = torch.stack(
        [low_discrepancy_times(batch, generator=generator, device=device) for _ in range(400)]
    )
    assert draws.shape == (400, batch)
    assert ((draws >= 0) & (draws < 1)).all()
    parts = (draws * batch).floor().long().sort(-1).values
    assert torch.equal(parts, torch.arange(batch).expand(400, -1))
    assert within(draws, 0.5)
    assert within(draws**2, 1 / 3)


# The bound


@every_schedule
@pytest.mark.parametrize("t_min", [None, 1e-12])
def test_nelbo_with_the_exact_posterior_telescopes(spec: Spec, t_min: float | None) -> None:
    """The integral is what is known at t_min and was not at 1; the ends come in closed form."""
    model = oracle_model(JOINT, spec)
    model.t_min = t_min or model.t_min
    expected = uncertainty(model, 1.0) - uncertainty(model, model.t_min) + ends(model, JOINT.x)
    torch.testing.assert_close(expected_nelbo(model, JOINT.x), expected, atol=FLOAT32, rtol=0)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_nelbo_with_the_exact_posterior_is_minus_log_p(name: str) -> None:
    model = oracle_model(JOINT, {"name": name})
    model.t_min = 1e-12
    # In [0, t_min] tokens are guessed without context. A token is hidden there with probability
    # 1e-12 (linear) to 2e-7 (the smallest learned exponent), or 1e-5 by geometric's own start,
    # and costs up to 7 nats.
    slack = FLOAT32 + ends(model, JOINT.x) + uncertainty(model, model.t_min)
    assert slack.max() < (3e-4 if name == "geometric" else 1e-5)
    difference = expected_nelbo(model, JOINT.x) + JOINT.p.log()
    assert (difference.abs() <= slack).all()


@shared_schedules
def test_nelbo_of_a_shared_schedule_is_an_average_over_orders(spec: Spec) -> None:
    """With any denoiser: integrating over 1 - alpha leaves a weight for each number of masks."""
    model = table_model(spec)
    x = JOINT.x
    low, high = (float(model.schedule.hidden(at(t, 1))) for t in (model.t_min, 1.0))
    # polynomials of degree L - 1 = 2 in 1 - alpha, which 3 Gauss-Legendre nodes integrate exactly
    nodes = torch.tensor([-math.sqrt(0.6), 0.0, math.sqrt(0.6)], dtype=torch.float64)
    hidden = (low + high) / 2 + (high - low) / 2 * nodes
    quadrature = torch.tensor([5, 8, 5], dtype=torch.float64) / 9 * (high - low) / 2
    integral = torch.zeros(len(x), dtype=torch.float64)
    for masked in product(2, x.shape[1])[1:].bool():
        z = torch.where(masked, model.mask_id, x)
        nats = -model.denoiser(z, at(0.5, len(x))).log_softmax(-1).double()
        wrong = nats.gather(-1, x[..., None]).squeeze(-1)[:, masked].sum(-1)
        count = int(masked.sum())
        share = hidden ** (count - 1) * (1 - hidden) ** (x.shape[1] - count)
        integral += (quadrature * share).sum() * wrong.detach()
    torch.testing.assert_close(
        expected_nelbo(model, x), integral + ends(model, x), atol=FLOAT32, rtol=1e-6
    )


@every_schedule
def test_nelbo_is_a_bound_whatever_the_denoiser(spec: Spec) -> None:
    """exp(-NELBO) lies below the probabilities of some model, and those sum to 1."""
    model = table_model(spec)
    assert 0.01 < torch.exp(-expected_nelbo(model, JOINT.x)).sum() < 1
    for steps in (1, 2, 5):
        total = torch.exp(-expected_nelbo_discrete(model, steps)).sum()
        assert 0.01 < total < 1 + FLOAT32


def test_nelbo_without_a_mask_is_the_ends_alone() -> None:
    model = table_model({"name": "learned_polynomial"})
    nelbo = model.nelbo(JOINT.x, at(0.3, len(JOINT.x)), JOINT.x)
    torch.testing.assert_close(nelbo, ends(model, JOINT.x), atol=1e-12, rtol=0)


@pytest.mark.parametrize("exponent", [5.0, 300.0])
def test_nelbo_of_steep_schedules_is_finite(exponent: float) -> None:
    """1 - alpha(t_min) is 1e-20, or 0: the ends then cost nothing, not 0 times infinity."""
    model = table_model({"name": "polynomial", "exponent": exponent})
    nelbo = model.nelbo(JOINT.x, at(1.0, len(JOINT.x)), torch.full_like(JOINT.x, model.mask_id))
    assert nelbo.isfinite().all()
    learned = LearnedPolynomial(3, initial_exponent=5.0)
    GenMD4(Table(JOINT), learned, 3).loss(JOINT.x, generator=seeded()).backward()
    assert learned.raw.grad is not None
    assert learned.raw.grad.isfinite().all()
    assert learned.raw.grad.abs().min() > 0


# The bound in discrete time


@torch.no_grad()
def expected_nelbo_discrete(model: MD4, steps: int, x: Tensor = JOINT.x) -> Tensor:
    """The mean of nelbo_discrete over steps and masks, (V^L,)."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for step in range(steps):
        total += over_masks(
            model,
            x,
            at((step + 1) / steps, len(x)),
            lambda x, t, z, step=step: model.nelbo_discrete(
                x, torch.full((len(x),), step), z, steps
            ),
        )
    return total / steps


def divergences(model: MD4, x: Tensor, t: Tensor, z: Tensor, s: float) -> Tensor:
    """KL(q(z_s | z_t, x) || p(z_s | z_t)) from the V + 1 probabilities at each position, (B,)."""
    alpha_t = model.schedule.alpha(t)
    alpha_s = model.schedule.alpha(at(s, len(t))) if s else torch.ones_like(alpha_t)
    reveal = ((alpha_s - alpha_t) / (1 - alpha_t)).expand(-1, model.vocab_size)
    mu = model(z, t).double().softmax(-1)
    p = torch.cat([reveal[:, None] * mu, ((1 - reveal[:, None]) * mu).sum(-1, keepdim=True)], -1)
    own = reveal.gather(1, x)
    q = torch.zeros_like(p).scatter(-1, x[..., None], own[..., None])
    q[..., -1] = 1 - own
    divergence = (torch.xlogy(q, q) - torch.xlogy(q, p)).sum(-1)
    return torch.where(z == model.mask_id, divergence, 0.0).sum(-1)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_nelbo_discrete_is_the_sum_of_divergences(spec: Spec, steps: int) -> None:
    model, x = table_model(spec), JOINT.x
    expected = ends(model, x) * 0
    for step in range(steps):
        expected += over_masks(
            model,
            x,
            at((step + 1) / steps, len(x)),
            lambda x, t, z, s=step / steps: divergences(model, x, t, z, s),
        ).detach()
    prior = model.schedule.alpha(at(1.0, 1)).detach().max() * x.shape[1] * math.log(3)
    result = expected_nelbo_discrete(model, steps)
    torch.testing.assert_close(result, expected + prior, atol=FLOAT32, rtol=1e-6)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "geometric"])
def test_one_step_with_the_exact_posterior_costs_the_marginals(name: str) -> None:
    marginals = JOINT.posterior(torch.full((1, 3), 3), torch.ones(1, 1).double())[0]
    expected = -marginals[torch.arange(3), JOINT.x].log().sum(-1)
    result = expected_nelbo_discrete(oracle_model(JOINT, {"name": name}), 1)
    torch.testing.assert_close(result, expected, atol=FLOAT32, rtol=0)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_nelbo_discrete_falls_to_the_continuous_one(name: str) -> None:
    model = oracle_model(JOINT, {"name": name})
    steps = [1, 2, 4, 8, 16, 32, 64]
    bounds = torch.stack([expected_nelbo_discrete(model, T) for T in steps])
    mean = bounds @ JOINT.p
    entropy = -(JOINT.p * JOINT.p.log()).sum()
    assert (mean.diff() < 0).all()
    assert mean[-1] > entropy
    # geometric starts a sixty-fourth of its time to reach 2 % of masks: hence the wide factor
    assert mean[-1] - entropy < (mean[0] - entropy) / 8
    # first order in 1/T: two bounds extrapolate to the integral, a second-order error away
    extrapolated = 2 * bounds[-1] - bounds[-2]
    error, better = ((bound + JOINT.p.log()).abs().max() for bound in (bounds[-1], extrapolated))
    assert better < error / 4


# GenMD4


class Given(GenMD4):
    """GenMD4 with times and masks that are not drawn but given."""

    times: Tensor
    masks: Tensor

    def _draw_times(self, batch: int, generator: torch.Generator, device: torch.device) -> Tensor:
        return self.times

    def mask(self, x: Tensor, t: Tensor, **_: object) -> Tensor:
        return self.masks


PAIR = Joint(vocab_size=3, length=2)


def gradients(value: Tensor, model: GenMD4) -> list[Tensor]:
    return list(torch.autograd.grad(value, list(model.parameters())))


def enumerated_losses(model: Given, x: Tensor, t: float) -> Iterator[tuple[Tensor, Tensor]]:
    """The loss with every pair of masks, and the pair's probability."""
    model.times = at(t, 1)
    _, _, states, q = every_mask(model, x, model.times)
    for i, j in product(len(states), 2).tolist():
        model.masks = states[[i, j]]
        yield model.loss(x, generator=seeded()), (q[i] * q[j]).detach()


@pytest.mark.parametrize("t", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("x", [[0, 2], [1, 1]])
def test_genmd4_gradient_is_that_of_the_enumerated_objective(t: float, x: list[int]) -> None:
    schedule = build_schedule({"name": "learned_polynomial"}, 3)
    model = Given(Table(PAIR), schedule, 3)
    tokens = torch.tensor([x])
    objective = over_masks(model, tokens, at(t, 1), model.nelbo).sum() / tokens.shape[1]
    loss = sum(value * q for value, q in enumerated_losses(model, tokens, t))
    torch.testing.assert_close(loss.detach(), objective.detach(), rtol=1e-6, atol=0)
    for mine, exact in zip(gradients(loss, model), gradients(objective, model), strict=True):
        assert exact.abs().max() > 1e-3
        torch.testing.assert_close(mine, exact, rtol=1e-5, atol=1e-6)

    # without REINFORCE the gradient with respect to the schedule is another one
    *rows, q = every_mask(model, tokens, at(t, 1))
    plain = (q.detach() * model.nelbo(*rows)).sum() / tokens.shape[1]
    biased, exact = (
        torch.autograd.grad(value, schedule.raw, retain_graph=True)[0]
        for value in (plain, over_masks(model, tokens, at(t, 1), model.nelbo).sum() / 2)
    )
    assert (biased - exact).norm() > 0.01 * exact.norm()


def test_genmd4_gradient_is_unbiased_when_drawn() -> None:
    """With the library's own times and masks, against the gradient of the whole bound."""
    schedule = build_schedule({"name": "learned_polynomial"}, 3)
    model = GenMD4(Positional(torch.randn(2, 3, generator=seeded())), schedule, 3)
    model.t_min = 0.1  # the noise falls with it, the identity does not depend on it
    x = torch.tensor([[0, 2]])
    with torch.enable_grad():
        t = torch.linspace(0.1, 1, 201, dtype=torch.float64)
        simpson = torch.tensor([1.0, *[4.0, 2.0] * 99, 4.0, 1.0]).double() / 600
        exact = (simpson * over_masks(model, x.expand(201, -1), t, model.nelbo)).sum() / 2
        expected = torch.autograd.grad(exact, schedule.raw)[0]
    generator = seeded(5)
    draws = []
    for _ in range(300):
        loss = model.loss(x.expand(32, -1), generator=generator)
        draws.append(torch.autograd.grad(loss, schedule.raw)[0])
    assert within(torch.stack(draws), expected)


@pytest.mark.parametrize("cls", [MD4, GenMD4])
def test_loss_is_the_mean_nelbo_per_token_of_its_draws(cls: type[MD4]) -> None:
    """Not the surrogate: the same draws by hand, through the bound alone."""
    name = "learned_polynomial" if cls is GenMD4 else "cosine"
    model = cls(Table(JOINT), build_schedule({"name": name}, 3), 3)
    x = JOINT.x[[0, 5, 11, 25]]
    loss = model.loss(x, generator=seeded(8))
    generator = seeded(8)
    u = low_discrepancy_times(4, generator=generator, device=x.device)
    copies = 2 if cls is GenMD4 else 1
    t = (model.t_min + (1 - model.t_min) * u).repeat_interleave(copies)
    x = x.repeat_interleave(copies, dim=0)
    z = model.mask(x, t, generator=generator)
    torch.testing.assert_close(loss, model.nelbo(x, t, z).mean() / 3, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["linear", "learned_polynomial"])
def test_loss_gives_each_row_its_condition(name: str) -> None:
    schedule = build_schedule({"name": name}, 3)
    model = build_md4(Table(JOINT, classes=2), schedule, 3)
    bounds = torch.stack([expected_nelbo(model, JOINT.x, label) for label in (0, 1)])
    # the two sequences to which the classes matter most, each with the class that suits it
    rows = torch.stack([bounds.diff(dim=0)[0].argmax(), bounds.diff(dim=0)[0].argmin()])
    x, labels = JOINT.x[rows], torch.tensor([0, 1])
    expected, swapped = bounds[labels, rows], bounds[1 - labels, rows]
    generator = seeded(2)
    with torch.no_grad():
        draws = torch.stack([model.loss(x, labels, generator=generator) for _ in range(4000)])
    assert within(draws, expected.mean() / 3)
    assert not within(draws, swapped.mean() / 3)


@pytest.mark.parametrize("exponent", [1.0, 2.5])
def test_equal_exponents_make_genmd4_md4(exponent: float) -> None:
    """The same masks from the same generator, and the same bound on them."""
    learned = GenMD4(Table(JOINT), LearnedPolynomial(3, exponent), 3)
    plain = MD4(Table(JOINT), SCHEDULES.build({"name": "polynomial", "exponent": exponent}), 3)
    plain.t_min = learned.t_min
    x = JOINT.x.repeat(20, 1)
    t = torch.linspace(0.01, 1, len(x), dtype=torch.float64)
    z = plain.mask(x, t, generator=seeded(4))
    assert torch.equal(z, learned.mask(x, t, generator=seeded(4)))
    # the learned exponent is float32, and so is the sum of softmax probabilities that cancels
    torch.testing.assert_close(learned.nelbo(x, t, z), plain.nelbo(x, t, z), rtol=1e-5, atol=1e-5)
    generator = seeded(4)
    drawn = low_discrepancy_times(len(x), generator=generator, device=x.device)
    times = (learned.t_min + (1 - learned.t_min) * drawn).repeat_interleave(2)
    twice = x.repeat_interleave(2, dim=0)
    by_hand = plain.nelbo(twice, times, plain.mask(twice, times, generator=generator))
    loss = learned.loss(x, generator=seeded(4))
    torch.testing.assert_close(loss, by_hand.mean() / 3, rtol=1e-5, atol=0)


def test_log_q_is_the_log_of_the_enumerated_probability() -> None:
    model = table_model({"name": "learned_polynomial"})
    assert isinstance(model, GenMD4)
    x, t, z, q = every_mask(model, JOINT.x, at(0.3, len(JOINT.x)))
    torch.testing.assert_close(model.log_q(x, t, z), q.log(), rtol=1e-12, atol=1e-12)


def test_a_schedule_for_each_token_needs_the_time() -> None:
    with pytest.raises(ValueError, match="time_conditioned=True"):
        GenMD4(Oracle(JOINT), LearnedPolynomial(3), 3)


# The score


@pytest.mark.parametrize("alpha", [0.1, 0.5, 0.99])
def test_score_is_the_ratio_of_noisy_probabilities(alpha: float) -> None:
    """Proposition 1: s_j = q(z with j at a mask) / q(z), with the exact posterior for mu."""
    ones = torch.ones(1, 1, dtype=torch.float64)

    def evidence(z: Tensor) -> Tensor:
        return alpha ** (z != 3).sum(-1).double() * (
            JOINT.agreement(z, (1 - alpha) * ones) @ JOINT.p
        )

    z = torch.tensor([[1, 3, 3]])
    filled = torch.tensor([[1, 0, 3], [1, 1, 3], [1, 2, 3]])
    logits = JOINT.posterior(z, ones)[0, 1].log()
    result = score(logits, torch.tensor(alpha, dtype=torch.float64))
    torch.testing.assert_close(result, evidence(filled) / evidence(z), rtol=1e-12, atol=0)


def test_score_sums_to_the_odds_and_has_an_inverse() -> None:
    logits = torch.randn(5, 7, generator=seeded(), dtype=torch.float64)
    alpha = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)[:, None]
    scores = score(logits, alpha)
    torch.testing.assert_close(scores.sum(-1, keepdim=True), alpha / (1 - alpha))
    torch.testing.assert_close(score_to_logits(scores, alpha), logits.log_softmax(-1))
