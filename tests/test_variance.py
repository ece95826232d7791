"""The noise of the bound's estimate, against enumeration and against the plain sample variance."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from oracle import (
    Joint,
    Table,
    at_times,
    build_schedule,
    expected_nelbo,
    over_times,
    seeded,
    shared_schedules,
)
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.evaluation import Estimate, estimate
from mdcore.registry import Spec
from mdcore.schedules import SCHEDULES
from training.chart import COLOURS, Chart, Series, stacked, ticks
from training.data import Examples
from training.table import Table as TextTable
from training.variance import TIMES, batches_of, charts, draw_pairs, measure, signal, table

JOINT = Joint()
X = JOINT.x[[1, 9, 13, 13, 20, 2, 2, 25]]
SHARED = [name for name in SCHEDULES if SCHEDULES[name].shared]


def table_model(spec: Spec) -> MD4:
    model = MD4(Table(JOINT), build_schedule(spec, JOINT.vocab_size), JOINT.vocab_size)
    model.t_min = 0.1  # the rare masks near 0 weigh most; the identities do not depend on it
    return model


def means(model: MD4, times: str, count: int = 400) -> dict[str, Estimate]:
    pairs = list(draw_pairs(model, [Examples(X)] * count, times, generator=seeded()))
    names = [field.name for field in dataclasses.fields(pairs[0])]
    return {name: estimate([getattr(pair, name) for pair in pairs]) for name in names}


def close(found: Estimate, expected: float, error: float = 0.0) -> bool:
    return abs(found.mean - expected) < 4 * math.hypot(found.standard_error, error)


@shared_schedules
@pytest.mark.parametrize("times", TIMES)
def test_the_mean_and_its_gradient_are_those_of_the_enumerated_bound(
    spec: Spec, times: str
) -> None:
    """Whatever the schedule and however the times are drawn."""
    model = table_model(spec)
    found = means(model, times)
    bound = over_times(model.t_min, at_times(model, X)).mean() / JOINT.length
    (gradient,) = torch.autograd.grad(bound, list(model.parameters()))
    assert close(found["loss"], bound.item())
    assert close(found["gradient_square"], gradient.square().sum().item())


def draws(model: MD4, times: str, count: int = 1000) -> tuple[Tensor, Tensor]:
    """Losses (count,) and gradients (count, parameters), each with numbers of its own."""
    generator, losses, gradients = seeded(1), [], []
    for _ in range(count):
        t = model.to_times(TIMES[times](len(X), generator))
        loss = model.nelbo(X, t, model.mask(X, t, generator=generator)).mean() / JOINT.length
        losses.append(loss.detach())
        gradients.append(torch.autograd.grad(loss, list(model.parameters()))[0].flatten())
    return torch.stack(losses), torch.stack(gradients)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("times", TIMES)
def test_variances_are_the_sample_variances(name: str, times: str) -> None:
    model = table_model({"name": name})
    found = means(model, times)
    for value, draw in zip(("variance", "gradient_variance"), draws(model, times), strict=True):
        squares = (draw - draw.mean(0)).square().double().reshape(len(draw), -1).sum(-1)
        expected = estimate((squares * len(draw) / (len(draw) - 1)).tolist())
        assert close(found[value], expected.mean, expected.standard_error), value
        assert found[value].standard_error < 0.25 * found[value].mean


@pytest.mark.parametrize("name", SHARED)
def test_low_discrepancy_times_add_no_variance(name: str) -> None:
    model = table_model({"name": name})
    plain, even = (means(model, times) for times in ("independent", "low discrepancy"))
    for value in ("variance", "gradient_variance"):
        error = math.hypot(plain[value].standard_error, even[value].standard_error)
        assert even[value].mean < plain[value].mean + 2 * error, value
    if name == "geometric":  # of a bound that comes from a few times alone, the times matter most
        assert even["variance"].mean < 0.7 * plain["variance"].mean


def test_every_schedule_measures_the_same_network_on_the_same_batches() -> None:
    model = table_model({"name": "cosine"})
    rows = [measure(model, name, "independent", [Examples(X)] * 200, seed=0) for name in SHARED]
    assert [row.schedule for row in rows] == SHARED
    bits = expected_nelbo(model, X).mean().item() / JOINT.length / math.log(2)
    for row in rows:
        schedule = SCHEDULES.build({"name": row.schedule})
        unlike = schedule.hidden(torch.tensor(model.t_min).double()).item()  # guessed from scratch
        assert abs(row.bits_per_token.mean - bits) < 4 * row.bits_per_token.standard_error + unlike
    assert signal(rows) == pytest.approx(np.mean([row.gradient_square.mean for row in rows]))
    lines = table(rows).splitlines()
    assert len(lines) == 2 + len(SHARED)
    assert len({len(line) for line in lines}) == 1
    assert stacked(charts(rows)).size == (1920, 2400)
    lost = [dataclasses.replace(row, gradient_square=Estimate(-1.0, 1.0, 200)) for row in rows]
    with pytest.raises(ValueError, match="lost in the noise; raise --pairs"):
        table(lost)


def test_batches_share_no_example() -> None:
    pixels = torch.arange(236, 256, dtype=torch.uint8).view(10, 2)  # 256 is the mask
    examples = Examples(pixels, torch.arange(10))
    batches = batches_of(examples, 3, 3)
    assert [len(batch.x) for batch in batches] == [3, 3, 3]
    labels = torch.cat([batch.condition for batch in batches if batch.condition is not None])
    assert len(labels.unique()) == 9
    assert batches[0].x.dtype == torch.long
    with pytest.raises(ValueError, match="4 batches of 3 need 12 examples, the data has 10"):
        batches_of(examples, 3, 4)


# What they are shown with


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.21, 3.27), (-40.0, 900.0), (0.1, 0.45)])
def test_ticks_are_round_and_in_the_span(low: float, high: float) -> None:
    values = ticks(low, high, log=False)
    assert 3 <= len(values) <= 11
    assert all(low <= value <= high for value in values)
    steps = {round(b - a, 9) for a, b in pairwise(values)}
    assert len(steps) == 1
    assert f"{steps.pop():e}"[0] in "125"


@pytest.mark.parametrize(("low", "high"), [(-5.0, 2.0), (-1.0, 1.0), (0.4, 0.9), (0.5, 0.6)])
def test_logarithmic_ticks_are_round_and_in_the_span(low: float, high: float) -> None:
    values = ticks(low, high, log=True)
    assert 2 <= len(values) <= 11
    assert all(low - 1e-9 <= math.log10(value) <= high + 1e-9 for value in values)


@pytest.mark.parametrize("log", [False, True])
def test_a_chart_draws_larger_values_higher(log: bool) -> None:
    values = [Estimate(mean, 0.01, 5) for mean in (1.0, 3.0, 2.0)]
    series = Series("s", [*values, None], colour=1, joined=False)
    picture = np.asarray(Chart("t", "x", "y", list("abcd"), [series], log=log).draw())
    ink = (picture == [int(COLOURS[1][i : i + 2], 16) for i in (1, 3, 5)]).all(-1)
    plot = ink[:, 192 : 1920 - 464]  # without the legend
    rows, columns = plot.nonzero()
    quarter = plot.shape[1] / 4
    heights = [rows[(columns // quarter) == index] for index in range(4)]
    a, b, c, d = (h.mean() if len(h) else None for h in heights)
    assert d is None
    assert a > c > b  # rows count from the top
    share = (a - c) / (a - b)
    assert share == pytest.approx(math.log(2) / math.log(3) if log else 0.5, abs=0.01)


def test_a_chart_of_nothing_says_so() -> None:
    with pytest.raises(ValueError, match="no value to draw"):
        Chart("t", "x", "y", ["a"], [Series("s", [Estimate(-1.0, 0.1, 2)])], log=True).draw()


def test_a_table_is_aligned_and_markdown() -> None:
    shown = TextTable({"name": 8, "n": 3})
    assert shown.head == "| name     |   n |\n|:---------|----:|"
    assert shown.row("linear", "12") == "| linear   |  12 |"
