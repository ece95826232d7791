"""Filters against brute force over subsets of the vocabulary."""

from itertools import combinations
from typing import Any

import pytest
import torch
from oracle import seeded
from torch import Tensor

from mdcore.filters import FILTERS, Filter, Temperature, TopK, TopP

LOGITS = 2 * torch.randn(40, 6, generator=seeded())
SPECS: list[dict[str, Any]] = [
    *({"name": name} for name in FILTERS),
    {"name": "temperature", "temperature": 0.0},
    {"name": "temperature", "temperature": 0.3},
    {"name": "top_p", "p": 0.6},
    {"name": "top_k", "k": 2},
]


@pytest.fixture(params=SPECS, ids=lambda spec: "-".join(map(str, spec.values())))
def change(request: pytest.FixtureRequest) -> Filter:
    return FILTERS.build(request.param)


def test_each_row_is_filtered_by_itself(change: Filter) -> None:
    before = LOGITS.clone()
    rows = [change(row[None]) for row in LOGITS]
    assert torch.equal(change(LOGITS), torch.cat(rows))
    assert torch.equal(LOGITS, before)


def test_the_order_of_tokens_stays_and_what_is_forbidden_stays_so(change: Filter) -> None:
    logits = LOGITS.clone()
    logits[:, 3] = -torch.inf
    after = change(logits)
    assert after.shape == logits.shape
    assert not after.isnan().any()
    assert (after[:, 3] == -torch.inf).all()
    assert torch.equal(after.argmax(-1), logits.argmax(-1))
    ordered = after.gather(-1, logits.argsort(dim=-1, descending=True))
    assert (ordered[:, 1:] <= ordered[:, :-1]).all()


@pytest.mark.parametrize("name", list(FILTERS))
def test_by_default_nothing_changes(name: str) -> None:
    assert torch.equal(FILTERS.build({"name": name})(LOGITS), LOGITS)


@pytest.mark.parametrize("temperature", [0.1, 0.7, 3.0])
def test_temperature_is_a_power_of_the_probabilities(temperature: float) -> None:
    power = LOGITS.double().softmax(-1) ** (1 / temperature)
    # float32 logits up to 5, divided by 0.1: 50 times its rounding
    torch.testing.assert_close(
        Temperature(temperature)(LOGITS).double().softmax(-1),
        power / power.sum(-1, keepdim=True),
        rtol=5e-5,
        atol=1e-7,
    )


def test_temperature_zero_keeps_the_likeliest() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 2.0, 2.0]])
    expected = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    assert torch.equal(Temperature(0.0)(logits).softmax(-1), expected)


def brute_force(p: Tensor, mass: float) -> set[int]:
    """The smallest set of at least this mass, the heaviest of those."""
    for size in range(1, len(p) + 1):
        best = max(combinations(range(len(p)), size), key=lambda kept: float(p[list(kept)].sum()))
        if p[list(best)].sum() >= mass:
            return set(best)
    return set(range(len(p)))


@pytest.mark.parametrize("mass", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_top_p_is_the_smallest_set_of_its_mass(mass: float) -> None:
    after = TopP(mass)(LOGITS)
    sizes = set()
    for row, before in zip(after, LOGITS, strict=True):
        kept = row.isfinite().nonzero()[:, 0]
        assert set(kept.tolist()) == brute_force(before.double().softmax(-1), mass)
        assert torch.equal(row[kept], before[kept])
        sizes.add(len(kept))
    assert mass < 0.3 or len(sizes) > 1


def test_top_p_counts_the_token_that_crosses() -> None:
    """Equal halves: the first alone has the mass 1/2, and the tie goes to it."""
    logits = torch.zeros(1, 2)
    assert TopP(0.5)(logits).isfinite().tolist() == [[True, False]]
    assert TopP(0.5001)(logits).isfinite().tolist() == [[True, True]]


@pytest.mark.parametrize("k", [1, 3, 6, 99])
def test_top_k_keeps_k(k: int) -> None:
    after = TopK(k)(LOGITS)
    cut = LOGITS.sort(-1, descending=True).values[:, min(k, 6) - 1, None]
    assert torch.equal(after, LOGITS.masked_fill(cut > LOGITS, -torch.inf))
    assert (TopK(2)(torch.zeros(3, 5)).isfinite().sum(-1) == 2).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "temperature", "temperature": -0.1}, "temperature is -0.1; it must be 0 or more"),
        ({"name": "temperature", "temperature": float("nan")}, "temperature is nan"),
        ({"name": "top_p", "p": 0.0}, r"top-p is 0.0; it must be in \(0, 1\]"),
        ({"name": "top_p", "p": 1.1}, "top-p is 1.1"),
        ({"name": "top_k", "k": 0}, "top-k is 0; it must be at least 1"),
    ],
)
def test_impossible_options(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FILTERS.build(spec)
