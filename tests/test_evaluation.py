"""Likelihoods against enumeration, and the standard error against what it is an error of."""

import math

import pytest
import torch
from oracle import (
    Joint,
    Table,
    build_md4,
    build_schedule,
    every_schedule,
    expected_nelbo,
    oracle_model,
    seeded,
    within,
)
from test_diffusion import expected_nelbo_discrete
from torch import Tensor

from mdcore.evaluation import Estimate, bits_per_token, bits_per_token_draws, estimate
from mdcore.registry import Spec
from mdcore.schedules import SCHEDULES

JOINT = Joint()
BITS = 1 / (JOINT.length * math.log(2))


@every_schedule
def test_the_estimate_is_the_enumerated_bound(spec: Spec) -> None:
    schedule = build_schedule(spec, 3)
    model = build_md4(Table(JOINT), schedule, 3)
    expected = expected_nelbo(model, JOINT.x).mean().item() * BITS
    result = bits_per_token(model, JOINT.x, draws=800, generator=seeded())
    assert result.draws == 800
    assert abs(result.mean - expected) < 4 * result.standard_error < 0.15 * expected


@pytest.mark.parametrize("timesteps", [2, 3, 1000])
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_the_discrete_estimate_is_the_enumerated_bound(name: str, timesteps: int) -> None:
    """Of D3PM's process, of more than one step, else there is no noise; many are the continuous."""
    model = build_md4(Table(JOINT), build_schedule({"name": name}, 3), 3)
    if timesteps < 1000:
        expected = expected_nelbo_discrete(model, timesteps)
    else:
        expected = expected_nelbo(model, JOINT.x)
    draws = list(
        bits_per_token_draws(model, JOINT.x, draws=400, generator=seeded(), timesteps=timesteps)
    )
    assert within(torch.tensor(draws, dtype=torch.float64), expected.mean() * BITS)


def test_only_a_diffusion_has_discrete_steps() -> None:
    model = build_md4(Table(JOINT), build_schedule({"name": "linear"}, 3), 3)
    with pytest.raises(ValueError, match="timesteps is 0"):
        next(bits_per_token_draws(model, JOINT.x, draws=2, generator=seeded(), timesteps=0))


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_the_exact_posterior_reaches_the_entropy(name: str) -> None:
    """Sequences in proportion to p: bits per token are then the distribution's own entropy."""
    model = oracle_model(JOINT, {"name": name})
    x = JOINT.x[torch.multinomial(JOINT.p, 400, replacement=True, generator=seeded())]
    exact = -JOINT.p[JOINT.index(x)].log().mean().item() * BITS
    result = bits_per_token(model, x, draws=80, generator=seeded())
    # tokens hidden before t_min are guessed without context, at about log 3 each
    hidden = model.schedule.hidden(torch.tensor(model.t_min).double()).max().item()
    assert abs(result.mean - exact) < 4 * result.standard_error + hidden * math.log2(3)
    assert result.standard_error < 0.02 * exact


@pytest.mark.parametrize("name", ["linear", "learned_polynomial"])
def test_the_standard_error_is_the_spread_of_estimates(name: str) -> None:
    model = build_md4(Table(JOINT), build_schedule({"name": name}, 3), 3)
    x = JOINT.x[[1, 9, 13]]
    generator = seeded()
    results = [bits_per_token(model, x, draws=5, generator=generator) for _ in range(300)]
    means = torch.tensor([result.mean for result in results])
    errors = torch.tensor([result.standard_error for result in results])
    # 300 means give their spread to 1 / sqrt(600) = 4 %, 1500 draws the errors to 2 %: 4 of both
    assert means.std().item() == pytest.approx(errors.square().mean().sqrt().item(), rel=0.18)
    expected = expected_nelbo(model, x).mean() * BITS
    assert within(means.double(), expected)


@pytest.mark.parametrize("batch_size", [1, 4, 5, 32])
def test_batches_change_the_noise_only(batch_size: int) -> None:
    """Five examples of very different cost, with labels; the last batch is smaller."""
    model = build_md4(Table(JOINT, classes=2), build_schedule({"name": "cosine"}, 3), 3)
    bounds = torch.stack([expected_nelbo(model, JOINT.x, label) for label in (0, 1)])
    order = bounds[1].argsort()
    rows = torch.cat([order[:4], order[-1:]])
    labels = torch.tensor([1, 1, 0, 1, 1])
    draws = bits_per_token_draws(
        model, JOINT.x[rows], labels, draws=400, generator=seeded(), batch_size=batch_size
    )
    expected = bounds[labels, rows].mean() * BITS
    assert within(torch.tensor(list(draws), dtype=torch.float64), expected)


def test_same_seed_same_estimate_and_no_gradient() -> None:
    model = build_md4(Table(JOINT), build_schedule({"name": "learned_polynomial"}, 3), 3)

    def run(seed: int) -> Estimate:
        return bits_per_token(model, JOINT.x, draws=3, generator=seeded(seed))

    assert run(1) == run(1) != run(2)
    for _ in bits_per_token_draws(model, JOINT.x, draws=2, generator=seeded()):
        assert torch.is_grad_enabled()
    assert all(parameter.grad is None for parameter in model.parameters())


def test_units() -> None:
    result = estimate([2.0, 4.0, 6.0])
    assert result == Estimate(4.0, pytest.approx(2 / math.sqrt(3)), 3)
    assert result.perplexity == pytest.approx(math.exp(4.0 * math.log(2)))
    assert result.scaled(-0.5) == Estimate(-2.0, pytest.approx(1 / math.sqrt(3)), 3)


@pytest.mark.parametrize(("draws", "x"), [(1, JOINT.x), (5, JOINT.x[:0])])
def test_too_few(draws: int, x: Tensor) -> None:
    model = oracle_model(JOINT, {"name": "linear"})
    with pytest.raises(ValueError, match="give at least 2 draws and 1 example"):
        bits_per_token(model, x, draws=draws, generator=seeded())
