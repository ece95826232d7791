"""What if: the page's arithmetic against the filters that the samplers use."""

from typing import Any

import pytest
import torch
from torch import Tensor

from app import player
from mdcore.filters import Temperature, TopP

TEMPERATURES = [0.0, 0.3, 0.7, 1.0, 1.4, 2.0]
TOP_P = [0.05, 0.3, 0.62, 0.9, 1.0]
TOLERANCE = 1e-9  # float64 on both sides


@pytest.fixture(scope="module")
def script(browser: Any) -> Any:
    """A page that knows the player's functions."""
    page = browser.new_page()
    page.add_script_tag(content=player.script())
    yield page
    page.close()


def reshape(script: Any, top: Tensor, vocabulary: float, temperature: float, p: float) -> Any:
    size = "Infinity" if vocabulary == float("inf") else str(vocabulary)
    return script.evaluate(
        f"([top, temperature, p]) => reshape(top, {size}, temperature, p)",
        [top.tolist(), temperature, p],
    )


def filtered(probabilities: Tensor, temperature: float, p: float) -> Tensor:
    return TopP(p)(Temperature(temperature)(probabilities.log()[None])).softmax(-1)[0]


def draw(size: int, seed: int, *, sharp: float = 2.0) -> Tensor:
    """Probabilities in falling order."""
    logits = sharp * torch.randn(size, generator=torch.Generator().manual_seed(seed)).double()
    return logits.softmax(-1).sort(descending=True).values


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("p", TOP_P)
def test_exact_where_no_token_is_left_out(script: Any, temperature: float, p: float) -> None:
    for seed in range(5):
        top = draw(5, seed)
        answer = reshape(script, top, 5, temperature, p)
        expected = filtered(top, temperature, p).tolist()
        for (low, high), share in zip(answer["shares"], expected, strict=True):
            assert low == pytest.approx(share, abs=TOLERANCE)
            assert high == pytest.approx(share, abs=TOLERANCE)
        assert answer["rest"] == pytest.approx([0, 0], abs=TOLERANCE)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_exact_where_the_nucleus_lies_among_the_shown(script: Any, p: float) -> None:
    """At temperature 1 the crossing token is known whatever the rest is."""
    whole = torch.tensor([0.4, 0.25, 0.1, 0.05, 0.05, *([0.15 / 50] * 50)], dtype=torch.float64)
    answer = reshape(script, whole[:5], len(whole), 1.0, p)
    for (low, high), share in zip(answer["shares"], filtered(whole, 1.0, p), strict=False):
        assert low == pytest.approx(high, abs=TOLERANCE)
        assert low == pytest.approx(share.item(), abs=TOLERANCE)


def test_the_crossing_token_is_kept(script: Any) -> None:
    """The smallest set whose mass is at least p: 0.5 alone reaches 0.5, and 0.51 needs the next."""
    top = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert reshape(script, top, 3, 1.0, 0.5)["shares"] == [[1, 1], [0, 0], [0, 0]]
    third = 1 / 3
    shares = reshape(script, top, 3, 1.0, 0.51)["shares"]
    assert [low for low, _ in shares] == pytest.approx([2 * third, third, 0], abs=TOLERANCE)


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("p", TOP_P)
@pytest.mark.parametrize("sharp", [0.3, 1.0, 2.5])
def test_a_range_holds_the_truth(script: Any, temperature: float, p: float, sharp: float) -> None:
    """Of 60 tokens five are shown: what the filters make of all of them lies in the ranges."""
    for seed in range(4):
        whole = draw(60, seed, sharp=sharp)
        expected = filtered(whole, temperature, p)
        for vocabulary in (60, float("inf")):
            answer = reshape(script, whole[:5], vocabulary, temperature, p)
            for (low, high), share in zip(answer["shares"], expected, strict=False):
                assert low - TOLERANCE <= share.item() <= high + TOLERANCE
            low, high = answer["rest"]
            assert low - TOLERANCE <= expected[5:].sum().item() <= high + TOLERANCE
    # at the model's own temperature without top-p there is nothing to guess
    plain = reshape(script, whole[:5], 60, 1.0, 1.0)
    assert [low for low, _ in plain["shares"]] == pytest.approx(whole[:5].tolist(), abs=TOLERANCE)
    assert plain["shares"] == [[low, low] for low, _ in plain["shares"]]


def test_ranges_are_worth_having(script: Any) -> None:
    """Known bounds, not the whole of [0, 1]: a likely token at a low temperature is nearly sure."""
    top = torch.tensor([0.6, 0.1, 0.05, 0.03, 0.02], dtype=torch.float64)
    (low, high), *_ = reshape(script, top, 8000, 0.5, 1.0)["shares"]
    assert 0.9 < low <= high
    assert high - low < 0.02
