"""Samplers: their law against transition matrices, and what every trajectory must obey."""

import math
from collections.abc import Iterator

import pytest
import torch
from oracle import (
    SCHEDULE_SPECS,
    Joint,
    Oracle,
    Positional,
    Recorder,
    build_md4,
    build_schedule,
    chi_square_excess,
    equal_sequences,
    index,
    masks,
    oracle_model,
    product,
    seeded,
    shared_schedules,
    spec_id,
    total_variation,
    within,
)
from torch import Tensor, nn

from mdcore.diffusion import MD4
from mdcore.draws import uniform
from mdcore.filters import Temperature
from mdcore.registry import Spec
from mdcore.sampling import GRIDS, SAMPLERS, Sampler, Step
from mdcore.schedules import SCHEDULES

JOINT = Joint()
SINGLE = Joint(length=1)
NEEDS_SHARED = {"first_hitting"}
ORDERED = {"confidence", "entropy", "margin"}  # their order needs the logits of all candidates
REMASKING = {"remask_cap", "remask_rescale"}
STEEP = [
    {"name": "polynomial", "exponent": 30.0},
    {"name": "learned_polynomial", "initial_exponent": 30.0},
]


def cases(names: list[str], specs: list[Spec]) -> pytest.MarkDecorator:
    """Every sampler with every schedule that it can take."""
    pairs = [
        pytest.param(name, spec, id=f"{name}-{spec_id(spec)}")
        for name in names
        for spec in specs
        if name not in NEEDS_SHARED or SCHEDULES[spec["name"]].shared
    ]
    return pytest.mark.parametrize(("name", "spec"), pairs)


every_sampler = pytest.mark.parametrize("name", list(SAMPLERS))
each_kind = cases(list(SAMPLERS), [{"name": "cosine"}, {"name": "learned_polynomial"}])


def build(name: str, **options: object) -> Sampler:
    return SAMPLERS.build({"name": name, **options})


def positional_model(spec: Spec, logits: Tensor) -> MD4:
    schedule = build_schedule(spec, logits.shape[1])
    return build_md4(Recorder(Positional(logits)), schedule, logits.shape[1])


def random_logits(length: int, vocab_size: int) -> Tensor:
    return torch.randn(length, vocab_size, generator=seeded(1))


def partly_given(model: MD4, rows: int, length: int) -> Tensor:
    """Masks and given tokens, a different share of them in each row; the last row has no mask."""
    share = torch.linspace(0, 1, rows)[:, None]
    tokens = torch.randint(model.vocab_size, (rows, length), generator=seeded(2))
    given = torch.rand(rows, length, generator=seeded(3)) < share
    return torch.where(given, tokens, model.mask_id)


# What every trajectory obeys


@cases(list(SAMPLERS), [*SCHEDULE_SPECS, *STEEP])
@pytest.mark.parametrize("grid", list(GRIDS))
@pytest.mark.parametrize("steps", [1, 13])
def test_invariants_of_a_trajectory(name: str, spec: Spec, grid: str, steps: int) -> None:
    model = positional_model(spec, random_logits(8, 5))
    calls = model.denoiser.calls
    sampler = build(name, steps=steps, grid=grid)
    start = partly_given(model, 9, 8)
    given, before, number, nfe = start != model.mask_id, start, 0, 0
    for number, step in enumerate(sampler.trajectory(model, start, generator=seeded()), start=1):
        was_masked, is_masked = before == model.mask_id, step.z == model.mask_id
        assert step.index == number
        assert torch.equal(step.z[given], start[given])
        assert torch.equal(step.revealed, was_masked & ~is_masked)
        # a token changes only by way of the mask, and only where the sampler masks again
        kept = ~was_masked & ~is_masked
        assert torch.equal(step.z[kept], before[kept])
        assert sampler.remasks or not (is_masked & ~was_masked).any()
        assert step.nfe == len(calls) <= nfe + 1
        assert (step.logits is None) == (step.nfe == nfe)
        check_call(model, calls[nfe:], step, was_masked)
        if model.schedule.shared and name not in ORDERED:
            assert torch.equal(step.selected, step.revealed)
        before, nfe = step.z, step.nfe
    assert number == (8 if name == "first_hitting" else steps)
    assert step.t == 0 or name == "first_hitting"
    assert not (before == model.mask_id).any()
    assert torch.equal(start, partly_given(model, 9, 8))  # the caller's tensor is left alone


def check_call(
    model: MD4, calls: list[tuple[Tensor, Tensor, Tensor]], step: Step, was_masked: Tensor
) -> None:
    """The network is asked for what is revealed, and for no row in vain."""
    if not calls:
        assert not step.revealed.any()
        assert not step.selected.any()
        return
    z, t, select = calls[0]
    rows = step.selected.any(-1)
    assert step.logits is not None
    assert len(z) == rows.sum()
    assert torch.equal(select, step.selected[rows])
    assert not (step.revealed & ~step.selected).any()
    assert not (step.selected & ~was_masked).any()
    assert torch.equal(step.logits, model.denoiser.denoiser(z, t, select=select))
    if model.schedule.shared:  # then nothing that was asked for is refused
        assert torch.equal(step.revealed.any(-1), rows)


@cases(sorted(set(SAMPLERS) - REMASKING), [{"name": "linear"}, {"name": "cosine"}])
def test_a_thousand_steps_cost_at_most_a_call_for_each_mask(name: str, spec: Spec) -> None:
    model = positional_model(spec, random_logits(16, 5))
    sampler = build(name, steps=1000)
    *_, step = sampler.trajectory(model, masks(1, model, 16), generator=seeded())
    assert step.nfe == len(model.denoiser.calls) <= 16


@every_sampler
def test_without_masks_nothing_is_asked(name: str) -> None:
    model = positional_model({"name": "linear"}, random_logits(4, 5))
    z = torch.randint(5, (3, 4), generator=seeded())
    for observe in (False, True):
        steps = build(name, steps=5).trajectory(model, z, generator=seeded(), observe=observe)
        assert all(torch.equal(step.z, z) and step.nfe == 0 for step in steps)
    assert torch.equal(build(name)(model, z, generator=seeded()), z)


@each_kind
def test_same_seed_same_trajectory(name: str, spec: Spec) -> None:
    model = oracle_model(JOINT, spec)

    def run(seed: int) -> list[Tensor]:
        start = masks(20, model, 3)
        return [step.z for step in build(name).trajectory(model, start, generator=seeded(seed))]

    assert equal_sequences(run(5), run(5))
    assert not torch.equal(run(5)[-1], run(6)[-1])
    assert torch.equal(run(5)[-1], build(name)(model, masks(20, model, 3), generator=seeded(5)))


@each_kind
def test_observing_gives_all_logits_and_changes_nothing(name: str, spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    start = partly_given(model, 9, 3)

    def run(observe: bool) -> Iterator[Step]:
        sampler = build(name, steps=6)
        return sampler.trajectory(model, start, generator=seeded(), observe=observe)

    before, nfe = start, 0
    for plain, observed in zip(run(False), run(True), strict=True):
        masked = before == model.mask_id
        assert torch.equal(plain.z, observed.z)
        assert torch.equal(plain.revealed, observed.revealed)
        assert torch.equal(observed.selected, masked)
        assert observed.nfe == nfe + bool(masked.any())
        if observed.logits is not None:
            assert observed.logits.shape == (masked.sum(), model.vocab_size)
        before, nfe = observed.z, observed.nfe
    assert nfe > 1


@each_kind
def test_a_row_does_not_depend_on_its_batch_mates(name: str, spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    start = partly_given(model, 6, 3)
    sampler = build(name, steps=5)
    together = sampler(model, start, generator=[seeded(n) for n in range(6)])
    for n in (0, 2, 4):
        alone = sampler(model, start[n : n + 1], generator=[seeded(n)])
        assert torch.equal(together[n], alone[0])
    others = sampler(model, start, generator=[seeded(n or 99) for n in range(6)])
    assert torch.equal(together[1:], others[1:])


@each_kind
def test_each_row_keeps_its_condition(name: str, spec: Spec) -> None:
    class Obedient(nn.Module):
        time_conditioned = True

        def forward(self, z_t: Tensor, t: Tensor, condition: Tensor, *, select: Tensor) -> Tensor:
            only = torch.full((len(z_t), 5), -torch.inf).scatter(1, condition[:, None], 0.0)
            return only[:, None].expand(*z_t.shape, -1)[select]

    model = build_md4(Obedient(), build_schedule(spec, 5), 5)
    labels = torch.tensor([3, 0, 4, 4, 1])
    z = build(name, steps=7)(model, masks(5, model, 6), labels, generator=seeded())
    assert torch.equal(z, labels[:, None].expand(-1, 6))


@every_sampler
@pytest.mark.parametrize("observe", [False, True])
def test_nan_is_an_error_that_says_what_to_do(name: str, observe: bool) -> None:
    model = positional_model({"name": "linear"}, torch.full((4, 3), torch.nan))
    model.compute_dtype = torch.bfloat16
    trajectory = build(name, steps=2).trajectory(
        model, masks(2, model, 4), generator=seeded(), observe=observe
    )
    with pytest.raises(FloatingPointError, match=r"NaN at call 1 in torch.bfloat16; run it in fl"):
        list(trajectory)


@every_sampler
def test_filters_are_applied_in_their_order(name: str) -> None:
    """Forbid the best, then keep the best: the second. The other order would leave nothing."""

    def without_best(logits: Tensor) -> Tensor:
        return logits.masked_fill(logits == logits.amax(-1, keepdim=True), -torch.inf)

    logits = random_logits(6, 5)
    model = positional_model({"name": "linear"}, logits)
    sampler = SAMPLERS[name](steps=4, filters=[without_best, Temperature(0.0)])
    z = sampler(model, masks(7, model, 6), generator=seeded())
    assert torch.equal(z, logits.topk(2).indices[:, 1].expand(7, -1))


@every_sampler
def test_gradients_stay_on_for_the_consumer(name: str) -> None:
    model = positional_model({"name": "linear"}, nn.Parameter(random_logits(3, 4)))
    for step in build(name, steps=3).trajectory(model, masks(2, model, 3), generator=seeded()):
        assert torch.is_grad_enabled()
        assert step.logits is None or not step.logits.requires_grad


@every_sampler
@pytest.mark.parametrize(
    ("z", "message"),
    [
        (torch.zeros(3, dtype=torch.long), r"shape \(3,\).*give \(B, L\) long"),
        (torch.zeros(1, 3), r"torch.float32; give \(B, L\) long"),
        (torch.tensor([[0, 4]]), r"outside \[0, 3\]; the last is the mask"),
        (torch.tensor([[-1, 0]]), r"outside \[0, 3\]; the last is the mask"),
    ],
)
def test_z_is_checked(name: str, z: Tensor, message: str) -> None:
    model = positional_model({"name": "linear"}, random_logits(3, 3))
    with pytest.raises(ValueError, match=message):
        build(name)(model, z, generator=seeded())


@every_sampler
def test_options_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="steps is 0; a sampler needs at least 1"):
        build(name, steps=0)
    with pytest.raises(ValueError, match=r"Unknown grid .log.\. Known: uniform, cosine"):
        build(name, grid="log")
    if name in REMASKING:
        with pytest.raises(ValueError, match=r"eta is 1.5; .* must be in \[0, 1\]"):
            build(name, eta=1.5)


@pytest.mark.parametrize("name", sorted(NEEDS_SHARED))
def test_first_hitting_needs_a_shared_schedule(name: str) -> None:
    model = oracle_model(JOINT, {"name": "learned_polynomial"})
    with pytest.raises(ValueError, match="use a schedule shared by all tokens"):
        build(name)(model, masks(1, model, 3), generator=seeded())


@each_kind
def test_a_sampler_says_whether_it_remasks(name: str, spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    sampler = build(name, steps=30)
    before, remasked = masks(300, model, 3), 0
    for step in sampler.trajectory(model, before, generator=seeded()):
        remasked += int(((step.z == model.mask_id) & (before != model.mask_id)).sum())
        before = step.z
    assert sampler.remasks == (remasked > 0) == (name in REMASKING)


# Time


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - NEEDS_SHARED))
@pytest.mark.parametrize("grid", list(GRIDS))
def test_steps_stand_at_the_times_of_the_grid(name: str, grid: str) -> None:
    model = oracle_model(JOINT, {"name": "linear"})
    sampler = build(name, steps=7, grid=grid)
    run = sampler.trajectory(model, masks(1, model, 3), generator=seeded())
    share = torch.arange(8, dtype=torch.float64) / 7
    expected = torch.cos(math.pi / 2 * share) if grid == "cosine" else 1 - share
    times = sampler.times(model.schedule, 3)
    torch.testing.assert_close(times, expected, rtol=0, atol=1e-15)
    assert times[1:].tolist() == [step.t for step in run]
    assert (times[0], times[-1]) == (1, 0)


@pytest.mark.parametrize("name", sorted(set(SAMPLERS) - NEEDS_SHARED))
def test_the_network_hears_the_time_a_step_starts_from(name: str) -> None:
    model = positional_model({"name": "learned_polynomial"}, random_logits(4, 3))
    sampler = build(name, steps=9)
    times = sampler.times(model.schedule, 4).float()
    run = sampler.trajectory(model, masks(3, model, 4), generator=seeded(), observe=True)
    for step in run:
        assert (model.denoiser.calls[step.nfe - 1][1] == times[step.index - 1]).all() or (
            step.logits is None
        )
    assert len(model.denoiser.calls) > 4


@cases(["first_hitting"], [{"name": name} for name in SCHEDULES])
def test_first_hitting_reveals_at_the_times_of_its_law(name: str, spec: Spec) -> None:
    """With n masks left the next reveal is at alpha^-1(1 - u^(1/n) (1 - alpha)), u uniform."""
    rows, length = 4000, 3
    model = positional_model(spec, random_logits(length, 4))
    build(name)(model, masks(rows, model, length), generator=seeded())
    times = torch.stack([t for _, t, _ in model.denoiser.calls]).double()
    hidden = 1 - model.schedule.alpha(times).squeeze(-1)
    left = torch.arange(length, 0, -1)[:, None]
    u = (hidden / torch.cat([torch.ones(1, rows), hidden[:-1]])) ** left
    # Kolmogorov-Smirnov: 2.27 / sqrt(N) is as likely as 4 standard errors of a normal variable;
    # the times are heard in float32, and geometric's lie in [1e-5, 1 - 2e-9] of its law
    places = torch.arange(1, rows + 1) / rows
    assert ((u.sort(-1).values - places).abs() < 2.27 / rows**0.5 + 1e-4).all()
    # and independent of each other: correlations have a standard error of 1 / sqrt(N)
    assert (torch.corrcoef(u) - torch.eye(length)).abs().max() < 4 / rows**0.5


@cases(["first_hitting"], [{"name": name} for name in SCHEDULES])
def test_first_hitting_expects_one_token_more_at_each_of_its_times(name: str, spec: Spec) -> None:
    schedule = build_schedule(spec, 3)
    times = build(name).times(schedule, 5)
    alpha = schedule.alpha(times).squeeze(-1)
    assert (times[0], times[-1]) == (1, 0)
    # geometric begins and ends 1e-5 from the ends
    torch.testing.assert_close(alpha, torch.arange(6).double() / 5, rtol=0, atol=2e-5)


# The law


def sigma_of(name: str, eta: float, alpha_s: Tensor, alpha_t: Tensor, last: bool) -> Tensor:
    """ReMDM's remasking probability (arXiv 2503.00307); with many schedules the smallest counts."""
    limit = torch.zeros(1).double() if last else ((1 - alpha_s) / alpha_t).amin().clamp(max=1)
    return {
        "ancestral": torch.zeros(1),
        "remask_cap": limit.clamp(max=eta),
        "remask_rescale": eta * limit,
    }[name]


def naive_kernel(model: MD4, t: float, s: float, name: str, eta: float) -> Tensor:
    """Transition matrix of a step that draws every position anew, between all (V + 1)^L states."""
    size = model.vocab_size + 1
    states = product(size, JOINT.length)
    time = torch.tensor([t], dtype=torch.float64)
    alpha_t = model.schedule.alpha(time)[0].detach()
    alpha_s = model.schedule.alpha(time * 0 + s)[0].detach() if s else torch.ones_like(alpha_t)
    sigma = sigma_of(name, eta, alpha_s, alpha_t, last=s == 0)
    mu = model.denoiser(states, time.expand(len(states))).exp()
    move = torch.zeros(len(states), JOINT.length, size, dtype=torch.float64)
    move[..., :-1] = (alpha_s - (1 - sigma) * alpha_t) / (1 - alpha_t) * mu
    move[..., -1] = 1 - move[..., :-1].sum(-1)
    stay = torch.zeros_like(move).scatter(-1, states[..., None], 1.0) * (1 - sigma)
    stay[..., -1] = sigma
    move = torch.where((states == model.mask_id)[..., None], move, stay)
    columns = [move[:, place][:, states[:, place]] for place in range(JOINT.length)]
    return torch.stack(columns).prod(0)


@cases(["ancestral", "remask_cap", "remask_rescale"], SCHEDULE_SPECS)
@pytest.mark.parametrize("grid", list(GRIDS))
def test_each_step_has_the_law_of_the_naive_one(name: str, spec: Spec, grid: str) -> None:
    """Deciding the reveals first, and drawing in two stages, is drawing each position anew."""
    model = oracle_model(JOINT, spec)
    eta = 0.6
    options = {} if name == "ancestral" else {"eta": eta}
    sampler = build(name, steps=4, grid=grid, **options)
    times = sampler.times(model.schedule, 3).tolist()
    law = torch.zeros(4**3, dtype=torch.float64)
    law[-1] = 1
    start = masks(8000, model, 3)
    for step, t, s in zip(
        sampler.trajectory(model, start, generator=seeded()), times[:-1], times[1:], strict=True
    ):
        law = law @ naive_kernel(model, t, s, name, eta)
        assert law.sum() == pytest.approx(1)
        counts = index(step.z, 4).bincount(minlength=4**3)
        assert chi_square_excess(counts, law) < 4


@cases(sorted({"ancestral", *REMASKING}), [{"name": name} for name in SCHEDULES])
def test_steps_keep_the_marginals(name: str, spec: Spec) -> None:
    """One token whose posterior is exact: at each s it is v with probability alpha_s[v] p(v)."""
    model = oracle_model(SINGLE, spec)
    options = {} if name == "ancestral" else {"eta": 0.5}
    sampler = build(name, steps=5, **options)
    for step in sampler.trajectory(model, masks(20_000, model, 1), generator=seeded()):
        s = torch.tensor([step.t], dtype=torch.float64)
        alpha = model.schedule.alpha(s)[0].detach() if step.t else torch.ones(1).double()
        clean = alpha * SINGLE.p
        law = torch.cat([clean, 1 - clean.sum(0, keepdim=True)]).clamp(min=0)
        assert chi_square_excess(step.z[:, 0].bincount(minlength=4), law) < 4


@cases(sorted(REMASKING), [{"name": name} for name in SCHEDULES])
@pytest.mark.parametrize("eta", [0.3, 0.9])
def test_tokens_are_masked_again_with_the_probability_sigma(
    name: str, spec: Spec, eta: float
) -> None:
    model = oracle_model(JOINT, spec)
    sampler = build(name, steps=5, eta=eta)
    times = sampler.times(model.schedule, 3)
    alpha = model.schedule.alpha(times).detach()
    before = masks(20_000, model, 3)
    for step in sampler.trajectory(model, before, generator=seeded()):
        number = step.index
        clean = before != model.mask_id
        again = (step.z[clean] == model.mask_id).double()
        sigma = sigma_of(name, eta, alpha[number], alpha[number - 1], last=step.t == 0)
        assert number == 1 or len(again) > 100
        assert not len(again) or within(again, sigma)
        before = step.z


@cases(sorted({"ancestral", *REMASKING}), [{"name": name} for name in SCHEDULES])
def test_distance_to_p_falls_with_the_steps(name: str, spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    rows = 10_000
    start = masks(rows, model, 3)
    distance = [
        total_variation(build(name, steps=steps)(model, start, generator=seeded()), JOINT)
        for steps in (1, 8, 128)
    ]
    # what the counts of exact samples differ by: a mean of sqrt(2 p / (pi N)) / 2 a sequence
    noise = float((2 * JOINT.p / math.pi / rows).sqrt().sum() / 2)
    assert distance[0] > distance[1] > distance[2]
    assert distance[0] > 10 * noise
    assert distance[2] < 2 * noise


@shared_schedules
def test_first_hitting_is_exact(spec: Spec) -> None:
    model = oracle_model(JOINT, spec)
    z = build("first_hitting")(model, masks(10_000, model, 3), generator=seeded())
    assert chi_square_excess(JOINT.index(z).bincount(minlength=27), JOINT.p) < 4


@pytest.mark.parametrize("given", [[3, 1, 3], [2, 3, 0]])
def test_infilling_draws_from_the_conditional(given: list[int]) -> None:
    model = oracle_model(JOINT, {"name": "linear"})
    start = torch.tensor(given).expand(8000, -1)
    z = build("first_hitting")(model, start, generator=seeded())
    law = JOINT.p * JOINT.agreement(start[:1], torch.ones(1, 1).double())[0]
    assert chi_square_excess(JOINT.index(z).bincount(minlength=27), law / law.sum()) < 4


def test_equal_exponents_step_like_the_polynomial_schedule() -> None:
    """The same numbers drawn, and the same tokens: the two-stage draw accepts everything."""

    def run(spec: Spec) -> list[Tensor]:
        schedule = SCHEDULES.build(spec, vocab_size=3)
        model = build_md4(Oracle(JOINT), schedule, 3) if schedule.shared else None
        if model is None:
            model = build_md4(Oracle(JOINT, schedule), schedule, 3)
        sampler = build("remask_cap", steps=9, eta=0.1)
        start = masks(500, model, 3)
        return [step.z for step in sampler.trajectory(model, start, generator=seeded())]

    plain = run({"name": "polynomial", "exponent": 2.5})
    assert equal_sequences(run({"name": "learned_polynomial", "initial_exponent": 2.5}), plain)


# The draw of a token


def test_a_flat_tail_keeps_its_mass() -> None:
    """float32 Gumbel noise with reveal and value drawn as one leaves 1.6 % of this tail's 50 %."""
    V, L = 50_257, 1000
    logits = torch.zeros(1, V)
    logits[0, 0] = math.log(V - 1)
    model = build_md4(Positional(logits.expand(L, -1)), SCHEDULES.build({"name": "linear"}), V)
    z = build("ancestral", steps=1000)(model, masks(1, model, L), generator=seeded())
    assert within((z[0] > 0).double(), 0.5)
    # flat: the tail's tokens are spread evenly over their range
    tail = z[0][z[0] > 0].double() / V
    assert within(tail, 0.5)
    assert within((tail - 0.5) ** 2, 1 / 12)


@every_sampler
@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_extreme_numbers_draw_no_forbidden_token(
    name: str, number: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest and the largest number that can be drawn, and tokens of probability 0."""

    def constant(shape: torch.Size, *_: object) -> Tensor:
        return torch.full(shape, number, dtype=torch.float64)

    monkeypatch.setattr("mdcore.sampling.uniform", constant)
    logits = torch.tensor([[-torch.inf, 0.3, 0.1, 0.2, -torch.inf]]).expand(4, -1)
    model = positional_model({"name": "linear"}, logits)
    z = build(name, steps=3)(model, masks(2, model, 4), generator=seeded())
    assert (z == (1 if number == 0 else 3)).all()


def test_uniform_numbers_have_more_digits_than_float32() -> None:
    for generator in (seeded(), [seeded(n) for n in range(5)]):
        u = uniform((5, 400), generator, torch.device("cpu"))
        assert u.dtype == torch.float64
        assert (u != u.float().double()).double().mean() > 0.99
        assert ((u >= 0) & (u < 1)).all()
        assert within(u.flatten(), 0.5)


def test_many_positions_in_one_call_keep_their_own_tokens() -> None:
    """More than the sampler draws at once, so that a seam between two chunks would show."""
    V, L = 11, 700
    tokens = torch.randint(V, (L,), generator=seeded())
    logits = torch.full((L, V), -torch.inf).scatter(1, tokens[:, None], 0.0)
    model = build_md4(Positional(logits), SCHEDULES.build({"name": "linear"}), V)
    z = build("ancestral", steps=1)(model, masks(2, model, L), generator=seeded())
    assert torch.equal(z, tokens.expand(2, -1))


# Orders that look at the predictions


@pytest.mark.parametrize(
    ("name", "probabilities", "order"),
    [
        # drawn tokens have probability 1/2, 1/3 and 1, whichever they are
        ("confidence", [[1 / 2, 1 / 2, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.0, 1.0, 0.0]], [2, 0, 1]),
        # entropies 0.69, 1.07, 0.95 and margins 0, 0.175, 0.4
        ("entropy", [[0.5, 0.5, 0.0], [0.45, 0.275, 0.275], [0.6, 0.2, 0.2]], [0, 2, 1]),
        ("margin", [[0.5, 0.5, 0.0], [0.45, 0.275, 0.275], [0.6, 0.2, 0.2]], [2, 1, 0]),
    ],
)
def test_the_order_of_reveals(
    name: str, probabilities: list[list[float]], order: list[int]
) -> None:
    model = positional_model({"name": "linear"}, torch.tensor(probabilities).log())
    run = build(name, steps=3).trajectory(model, masks(20, model, 3), generator=seeded())
    for step, place in zip(run, order, strict=True):
        assert torch.equal(step.revealed, (torch.arange(3) == place).expand(20, -1))


@cases(["confidence", "entropy", "margin"], [{"name": name} for name in SCHEDULES])
def test_as_many_are_revealed_as_the_schedule_expects(name: str, spec: Spec) -> None:
    model = positional_model(spec, random_logits(40, 3))
    start = partly_given(model, 5, 40)
    free = (start == model.mask_id).sum(-1)
    for step in build(name, steps=6).trajectory(model, start, generator=seeded()):
        s = torch.tensor(step.t, dtype=torch.float64)
        expected = free * (1 - model.schedule.alpha(s).mean().detach()) * (step.t > 0)
        masked = (step.z == model.mask_id).sum(-1)
        assert ((masked <= expected) & (masked > expected - 1)).all()
