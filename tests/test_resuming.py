"""A trajectory gone on with in its midst: the same law as one that was never interrupted."""

import pytest
import torch
from oracle import (
    SCHEDULE_SPECS,
    Joint,
    chi_square_excess,
    index,
    masks,
    oracle_model,
    seeded,
    shared_schedules,
)
from test_sampling import NEEDS_SHARED, ORDERED, REMASKING, build, cases, naive_kernel
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.registry import Spec
from mdcore.sampling import SAMPLERS, Sampler, Start

JOINT = Joint()
STEPS = 4


def halfway(sampler: Sampler, model: MD4, rows: int) -> tuple[Tensor, float]:
    """What a run has after two of its four steps."""
    run = sampler.trajectory(model, masks(rows, model, 3), generator=seeded(1))
    next(run)
    step = next(run)
    return step.z, step.t


def nothing_given(z: Tensor, t: float) -> Start:
    return Start(t, torch.zeros_like(z, dtype=torch.bool))


@cases(["ancestral", *sorted(REMASKING)], SCHEDULE_SPECS)
@pytest.mark.parametrize("grid", ["uniform", "cosine"])
def test_the_rest_of_a_run_has_the_law_of_the_whole(name: str, spec: Spec, grid: str) -> None:
    eta = 0.6
    options = {} if name == "ancestral" else {"eta": eta}
    model = oracle_model(JOINT, spec)
    sampler = build(name, steps=STEPS, grid=grid, **options)
    z, t = halfway(sampler, model, 8000)
    times = sampler.times(model.schedule, 3).tolist()
    assert sampler.times(model.schedule, 3, t).tolist() == times[2:]
    law = index(z, 4).bincount(minlength=4**3).double() / len(z)
    steps = list(sampler.trajectory(model, z, generator=seeded(2), start=nothing_given(z, t)))
    assert [step.t for step in steps] == times[3:]
    for step, before, after in zip(steps, times[2:], times[3:], strict=False):
        law = law @ naive_kernel(model, before, after, name, eta)
        counts = index(step.z, 4).bincount(minlength=4**3)
        assert chi_square_excess(counts, law) < 4


@cases(sorted(ORDERED), [{"name": "linear"}, {"name": "learned_polynomial"}])
def test_orders_reveal_the_rest_at_the_pace_of_the_whole(name: str, spec: Spec) -> None:
    """The number of masks after each step is what the uninterrupted run has."""
    model = oracle_model(JOINT, spec)
    sampler = build(name, steps=STEPS)
    whole = sampler.trajectory(model, masks(50, model, 3), generator=seeded(1))
    left = [(step.z == model.mask_id).sum(-1).tolist() for step in whole]
    z, t = halfway(sampler, model, 50)
    rest = sampler.trajectory(model, z, generator=seeded(2), start=nothing_given(z, t))
    assert [(step.z == model.mask_id).sum(-1).tolist() for step in rest] == left[2:]


@shared_schedules
def test_first_hitting_goes_on_exactly(spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    z, _ = halfway(build("first_hitting"), model, 10_000)
    z = build("first_hitting")(model, z, generator=seeded(2))
    assert chi_square_excess(JOINT.index(z).bincount(minlength=27), JOINT.p) < 4


@cases(sorted(NEEDS_SHARED), [{"name": "linear"}, {"name": "cosine"}, {"name": "polynomial"}])
def test_first_hitting_spends_the_time_that_is_left(name: str, spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    start = Start(0.4)
    times = build(name).times(model.schedule, 5, start.t)
    alpha = model.schedule.alpha(times).squeeze(-1)
    begun = model.schedule.alpha(torch.tensor(0.4, dtype=torch.float64)).item()
    torch.testing.assert_close(alpha, torch.linspace(begun, 1, 6).double())
    run = build(name).trajectory(model, masks(2000, model, 3), generator=seeded(), start=start)
    assert 0.39 < next(run).t <= 0.4  # the slowest of many rows


@pytest.mark.parametrize("name", sorted(REMASKING))
def test_given_tokens_stay_and_the_others_may_be_masked_again(name: str) -> None:
    model = oracle_model(JOINT, {"name": "linear"})
    z = torch.tensor([[0, 1, model.mask_id]]).repeat(300, 1)
    start = Start(0.5, torch.tensor([[True, False, False]]).repeat(300, 1))
    again = torch.zeros(3, dtype=torch.bool)
    sampler = build(name, steps=8, eta=0.5)
    for step in sampler.trajectory(model, z, generator=seeded(), start=start):
        again |= (step.z == model.mask_id).any(0) & torch.tensor([True, True, False])
    assert again.tolist() == [False, True, False]


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_the_last_moment_still_has_a_step(name: str) -> None:
    model = oracle_model(JOINT, {"name": "linear"})
    z = torch.tensor([[0, model.mask_id, model.mask_id]])
    steps = list(
        build(name, steps=STEPS).trajectory(model, z, generator=seeded(), start=Start(1e-3))
    )
    assert 1 <= len(steps) <= 2
    assert not (steps[-1].z == model.mask_id).any()
