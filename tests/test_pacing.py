"""One network under several schedules: what it hears, and that shared noise shares the order."""

from itertools import pairwise, product

import pytest
import torch
from oracle import (
    SCHEDULE_SPECS,
    SHARED_SPECS,
    Joint,
    Oracle,
    Positional,
    Recorder,
    Table,
    build_md4,
    build_schedule,
    chi_square_excess,
    equal_sequences,
    expected_nelbo,
    masks,
    oracle_model,
    seeded,
    shared_schedules,
    spec_id,
)
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.pacing import paced
from mdcore.registry import Spec
from mdcore.sampling import GRIDS, SAMPLERS
from mdcore.schedules import SCHEDULES

JOINT = Joint()
BY_ARRIVAL = [name for name in SAMPLERS if SAMPLERS[name].by_arrival]
PACES = [*product(SHARED_SPECS, GRIDS, (1, 5, 64))]


def positional(spec: Spec, *, length: int = 40, time_conditioned: bool = True) -> MD4:
    """Tokens that do not look at one another, and a record of what the network is asked."""
    logits = torch.randn(length, 5, generator=seeded(1))
    denoiser = Recorder(Positional(logits, time_conditioned=time_conditioned))
    return build_md4(denoiser, build_schedule(spec, 5), 5)


# What the network hears


@shared_schedules
@pytest.mark.parametrize("own", SHARED_SPECS, ids=spec_id)
def test_the_network_hears_the_time_at_which_as_much_is_clean(own: Spec, spec: Spec) -> None:
    """Its own schedule may end further from 0 and 1; there it hears its first or last time."""
    model = positional(own)
    other = paced(model, build_schedule(spec, 5))
    t = torch.linspace(0.01, 1, 50)
    other(masks(50, model, 40), t, select=torch.ones(50, 40, dtype=torch.bool))
    ((_, heard, _),) = model.denoiser.calls
    last, first = model.schedule.alpha(torch.tensor([1.0, 0.0])).flatten()
    expected = other.schedule.alpha(t).clamp(last, first)
    # the time reaches the network in float32, where alpha is steepest 15 times as far off
    torch.testing.assert_close(model.schedule.alpha(heard), expected, rtol=0, atol=1e-5)


def test_a_network_without_time_is_asked_as_it_is() -> None:
    model = positional({"name": "linear"}, time_conditioned=False)
    assert paced(model, build_schedule({"name": "cosine"}, 5)).denoiser is model.denoiser


@shared_schedules
@pytest.mark.parametrize("name", list(SAMPLERS))
def test_a_paced_model_is_sampled_as_one_trained_with_the_schedule(name: str, spec: Spec) -> None:
    """The exact posterior is the same under all of them, so every number drawn is, too."""
    sampler = SAMPLERS.build({"name": name, "steps": 7})
    trained = oracle_model(JOINT, spec)
    other = paced(oracle_model(JOINT, {"name": "linear"}), trained.schedule)
    runs = [
        [step.z for step in sampler.trajectory(m, masks(50, m, 3), generator=seeded())]
        for m in (trained, other)
    ]
    assert equal_sequences(*runs)


def test_settings_of_the_model_stay() -> None:
    model = positional({"name": "linear"}).eval()
    model.compute_dtype = torch.bfloat16
    other = paced(model, build_schedule({"name": "cosine"}, 5))
    assert (other.compute_dtype, other.training) == (torch.bfloat16, False)
    assert paced(model.train(), other.schedule).training


@pytest.mark.parametrize(
    ("own", "other", "message"),
    [
        ("learned_polynomial", "cosine", "its own schedule alone"),
        ("cosine", "learned_polynomial", "Choose one that all tokens share"),
    ],
)
def test_a_schedule_for_each_token_stays_with_its_model(own: str, other: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paced(positional({"name": own}), build_schedule({"name": other}, 5))


# The same noise


def steps_of_reveals(model: MD4, name: str, grid: str, steps: int) -> tuple[Tensor, Tensor]:
    """In which step each position of a row was revealed, and the tokens."""
    sampler = SAMPLERS.build({"name": name, "steps": steps, "grid": grid})
    z = masks(1, model, 40)
    when = torch.zeros(40, dtype=torch.long)
    for step in sampler.trajectory(model, z, generator=[seeded(5)]):
        when[step.revealed[0]] = step.index
        z = step.z
    return when, z


@pytest.mark.parametrize("name", BY_ARRIVAL)
def test_the_same_noise_reveals_in_the_same_order_and_draws_alike(name: str) -> None:
    """One token a step tells the order; none of the others may ever contradict it."""
    linear = positional({"name": "linear"})
    exact, tokens = steps_of_reveals(linear, "first_hitting", "uniform", 1)
    order = exact.argsort()
    assert len(exact.unique()) == 40
    groups = set()
    for spec, grid, steps in PACES:
        model = paced(linear, build_schedule(spec, 5))
        when, z = steps_of_reveals(model, name, grid, steps)
        assert all(first <= second for first, second in pairwise(when[order].tolist()))
        assert torch.equal(z, tokens)
        groups.add(tuple(when[order].tolist()))
    assert len(groups) == (1 if name == "first_hitting" else len(groups))
    assert name == "first_hitting" or len(groups) > len(PACES) / 2  # who shares a step differs


def test_there_are_samplers_with_an_order_of_their_own() -> None:
    assert BY_ARRIVAL == ["ancestral", "first_hitting"]
    assert len(list(SAMPLERS)) > len(BY_ARRIVAL)


@pytest.mark.parametrize("spec", SCHEDULE_SPECS, ids=spec_id)
def test_each_panel_has_the_law_of_its_own_schedule(spec: Spec) -> None:
    """Noise shared between panels is fresh within each: the samples of one are those of the model.

    Generators that are one a row, as a page has them. In a single step tokens are independent.
    """
    schedule = SCHEDULES.build(spec, vocab_size=3)
    model = build_md4(Oracle(JOINT, schedule), schedule, 3)
    rows = [seeded(row) for row in range(4000)]
    z = SAMPLERS.build({"name": "ancestral", "steps": 1})(
        model, masks(4000, model, 3), generator=rows
    )
    alone = JOINT.posterior(masks(1, model, 3), torch.ones(1, 1).double())[0]
    law = alone[torch.arange(3), JOINT.x].prod(-1)
    assert chi_square_excess(JOINT.index(z).bincount(minlength=27), law) < 4


class Timed(Table):
    """A wrong denoiser whose logits grow with the time that it is told."""

    def forward(self, z_t: Tensor, t: Tensor, *rest: Tensor, select: Tensor) -> Tensor:
        logits = super().forward(z_t, t) * (1 + t[:, None, None])
        return logits[select]


@pytest.mark.parametrize("name", [name for name in SCHEDULES if SCHEDULES[name].shared])
def test_the_bound_of_any_network_is_that_of_its_own_schedule(name: str) -> None:
    """In terms of alpha the integrand does not know the schedule, whatever the network says.

    What differs is hidden at t_min, where tokens are guessed from scratch, and left clean at 1.
    """
    model = MD4(Timed(JOINT), SCHEDULES.build({"name": "linear"}), JOINT.vocab_size)
    other = paced(model, SCHEDULES.build({"name": name}))
    expected, found = expected_nelbo(model, JOINT.x), expected_nelbo(other, JOINT.x)
    unlike = max(m.schedule.hidden(torch.tensor(m.t_min).double()).item() for m in (model, other))
    assert (found - expected).abs().max() < 20 * unlike
    wrong = MD4(Timed(JOINT), other.schedule, JOINT.vocab_size)  # told the other schedule's time
    if name != "linear":
        assert (expected_nelbo(wrong, JOINT.x) - expected).abs().max() > 100 * unlike
