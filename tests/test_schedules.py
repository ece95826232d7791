"""Schedules: each formula against autograd, Bayes' rule, its inverse or a logarithm."""

import math
from typing import Any

import pytest
import torch
from oracle import build_schedule, every_schedule
from torch import Tensor

from mdcore.registry import Spec
from mdcore.schedules import SCHEDULES

V = 4
TIMES = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
ENDS = torch.tensor([0.0, 1.0], dtype=torch.float64)


def close(left: Tensor, right: Tensor, tolerance: float = 1e-10) -> None:
    """Float64 rounding, times the condition of the formulas at TIMES."""
    torch.testing.assert_close(left, right.expand_as(left), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "geometric"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_alpha_is_exactly_one_and_zero_at_the_ends(name: str, dtype: torch.dtype) -> None:
    start, end = build_schedule({"name": name}, V).alpha(ENDS.to(dtype))
    assert (start == 1).all()
    assert (end == 0).all()


@pytest.mark.parametrize("beta", [(1e-5, 20.0), (0.02, 3.0)])
def test_geometric_ends_at_its_own_two_values(beta: tuple[float, float]) -> None:
    schedule = SCHEDULES.build({"name": "geometric", "beta_min": beta[0], "beta_max": beta[1]})
    expected = torch.tensor([[math.exp(-beta[0])], [math.exp(-beta[1])]], dtype=torch.float64)
    # beta_max comes back from a logarithm: 20 times the rounding of float64, and a little
    torch.testing.assert_close(schedule.alpha(ENDS), expected, rtol=1e-13, atol=0)


@every_schedule
def test_alpha_decreases(spec: Spec) -> None:
    alpha = build_schedule(spec, V).alpha(TIMES)
    assert (alpha.diff(dim=0) < 0).all()
    assert ((alpha > 0) & (alpha < 1)).all()


@every_schedule
def test_alpha_prime_is_the_derivative(spec: Spec) -> None:
    schedule = build_schedule(spec, V)
    t = TIMES.clone().requires_grad_()
    alpha = schedule.alpha(t)
    columns = [
        torch.autograd.grad(column.sum(), t, retain_graph=True)[0] for column in alpha.unbind(-1)
    ]
    close(schedule.alpha_prime(TIMES), torch.stack(columns, dim=-1))


@every_schedule
def test_weight_and_hidden(spec: Spec) -> None:
    schedule = build_schedule(spec, V)
    alpha = schedule.alpha(TIMES)
    close(schedule.hidden(TIMES), 1 - alpha)
    close(schedule.weight(TIMES) * (1 - alpha), -schedule.alpha_prime(TIMES))


@every_schedule
def test_time_inverts_alpha(spec: Spec) -> None:
    schedule = build_schedule(spec, V)
    if not schedule.shared:
        with pytest.raises(ValueError, match="use a schedule shared by all tokens"):
            schedule.time(TIMES)
        return
    # 1 - alpha is as small as 1e-5 at the first times: eleven digits of it are left
    close(schedule.time(schedule.alpha(TIMES).squeeze(-1)), TIMES, tolerance=1e-9)
    level = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert ((schedule.time(level) >= 0) & (schedule.time(level) <= 1)).all()
    assert (schedule.time(level).diff() <= 0).all()


@every_schedule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_come_from_t(spec: Spec, dtype: torch.dtype) -> None:
    schedule = build_schedule(spec, V)
    t = TIMES[:6].to(dtype).view(2, 3)
    for result in (
        schedule.alpha(t),
        schedule.alpha_prime(t),
        schedule.weight(t),
        schedule.hidden(t),
        schedule.reveal(t / 2, t),
    ):
        assert result.shape == (2, 3, 1 if schedule.shared else V)
        assert result.dtype == dtype


@every_schedule
def test_reveal_is_bayes_rule(spec: Spec) -> None:
    """P(clean at s | masked at t), from the forward chain clean -> s -> t."""
    schedule = build_schedule(spec, V)
    s, t = TIMES[:-7], TIMES[7:]
    alpha_s, alpha_t = schedule.alpha(s), schedule.alpha(t)
    masked_between = alpha_s * (1 - alpha_t / alpha_s)
    masked_before = 1 - alpha_s
    close(schedule.reveal(s, t), masked_between / (masked_between + masked_before))


@every_schedule
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_reveal_with_remasking_keeps_the_marginals(spec: Spec, share: float) -> None:
    schedule = build_schedule(spec, V)
    s, t = TIMES[:-7], TIMES[7:]
    alpha_s, alpha_t = schedule.alpha(s), schedule.alpha(t)
    sigma = share * ((1 - alpha_s) / alpha_t).amin(-1, keepdim=True).clamp(max=1)
    reveal = schedule.reveal(s, t, sigma)
    close((1 - sigma) * alpha_t + (1 - alpha_t) * reveal, alpha_s)
    assert ((reveal >= 0) & (reveal <= 1 + 1e-12)).all()


@every_schedule
def test_everything_is_revealed_at_zero(spec: Spec) -> None:
    reveal = build_schedule(spec, V).reveal(torch.zeros_like(TIMES), TIMES)
    assert (reveal == 1).all()


@pytest.mark.parametrize("name", ["polynomial", "learned_polynomial"])
def test_steep_exponents_lose_no_digits(name: str) -> None:
    """t^w is 1e-90 here: computed as 1 - alpha it would be 0, and reveal 0/0."""
    option = "exponent" if name == "polynomial" else "initial_exponent"
    schedule = SCHEDULES.build({"name": name, option: 30.0}, vocab_size=V)
    s, t = torch.tensor([0.0, 5e-4], dtype=torch.float64), torch.tensor(1e-3, dtype=torch.float64)
    # the learned exponent is float32: 1e-7 of 30, times log(1e-3)
    torch.testing.assert_close(
        schedule.hidden(t).log(),
        torch.full_like(schedule.hidden(t), 30 * math.log(1e-3)),
        rtol=1e-6,
        atol=0,
    )
    reveal = schedule.reveal(s, t.expand(2))
    close(reveal, torch.tensor([[1.0], [1 - 0.5**30]], dtype=torch.float64), tolerance=1e-12)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.5])
def test_learned_polynomial_with_equal_exponents_is_polynomial(exponent: float) -> None:
    learned = SCHEDULES.build(
        {"name": "learned_polynomial", "initial_exponent": exponent}, vocab_size=V
    )
    plain = SCHEDULES.build({"name": "polynomial", "exponent": exponent})
    for method in ("alpha", "alpha_prime", "weight", "hidden"):
        result = getattr(learned, method)(TIMES)
        assert result.shape[-1] == V
        # the learned exponent is float32
        close(result, getattr(plain, method)(TIMES), tolerance=1e-6)
    close(learned.reveal(TIMES / 3, TIMES), plain.reveal(TIMES / 3, TIMES), tolerance=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "polynomial", "exponent": 0.0},
        {"name": "polynomial", "exponent": float("nan")},
        {"name": "geometric", "beta_min": 2.0, "beta_max": 1.0},
        {"name": "geometric", "beta_min": 0.0},
        {"name": "learned_polynomial", "initial_exponent": -1.0},
    ],
)
def test_impossible_options(spec: dict[str, Any]) -> None:
    value = next(value for key, value in spec.items() if key != "name")
    with pytest.raises(ValueError, match=f"{value}.*(above 0|needs one|0 < min < max)"):
        SCHEDULES.build(spec, vocab_size=V)
