"""Quality against steps, where the model and the judge are exact; and what is kept of it."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from oracle import Chain, Joint, oracle_model, seeded

from mdcore.autoregressive import Autoregressive
from mdcore.codecs import CODECS
from mdcore.diffusion import MD4
from mdcore.evaluation import Estimate, estimate
from mdcore.sampling import SAMPLERS
from training.judges import Judge, Scorer
from training.quality import (
    Case,
    Log,
    Row,
    cases,
    chart,
    draw,
    measure,
    unigram_entropy,
)

JOINT = Joint()
ROW = Row(Case("linear", "cosine", 8), Estimate(1.5, 0.1, 4), entropy=3.2, calls=7.5, seconds=0.25)


def exact(name: str) -> MD4:
    """The exact posterior's model; a weight tells on which device it is."""
    model = oracle_model(JOINT, {"name": name})
    model.register_parameter("unused", torch.nn.Parameter(torch.zeros(())))
    return model


class Truth(Judge):
    """Bits per token under the distribution itself."""

    unit = "bits"
    least = 2
    length = JOINT.length

    def quality(self, samples: torch.Tensor) -> Estimate:
        nats = Autoregressive(Chain(JOINT), JOINT.vocab_size).nats(samples)
        return estimate((nats / math.log(2) / JOINT.length).tolist())


def test_more_steps_come_closer_to_the_entropy() -> None:
    """One step draws each token by itself; with many steps the exact denoiser is the joint."""
    model = exact("cosine")
    few, many = (
        measure(model, Truth(), Case("linear", "uniform", steps), range(1500), 500)
        for steps in (1, 64)
    )
    entropy = -(JOINT.p * JOINT.p.log2()).sum().item() / JOINT.length
    assert abs(many.quality.mean - entropy) < 4 * many.quality.standard_error
    assert few.quality.mean > entropy + 10 * few.quality.standard_error
    assert few.calls == 1
    assert JOINT.length < many.calls <= 64  # a batch of 500 reveals something in most steps


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_schedule_and_the_grid_are_those_of_the_case(name: str) -> None:
    """Linear on the cosine grid is cosine on the uniform one, sample for sample.

    Of three tokens only those that share one of two steps can tell.
    """
    model = exact(name)
    seeds = range(5, 105)
    first, _ = draw(model, Case("linear", "cosine", 2), JOINT.length, seeds, 16)
    second, _ = draw(model, Case("cosine", "uniform", 2), JOINT.length, seeds, 40)
    assert torch.equal(first, second)
    other, _ = draw(model, Case("linear", "uniform", 2), JOINT.length, seeds, 40)
    assert not torch.equal(first, other)
    direct = SAMPLERS.build({"name": "ancestral", "steps": 2})(
        oracle_model(JOINT, {"name": "linear"}),
        torch.full((len(seeds), JOINT.length), JOINT.vocab_size),
        generator=[seeded(seed) for seed in seeds],
    )
    assert torch.equal(other, direct)


def test_every_shared_schedule_grid_and_number_of_steps_is_a_case() -> None:
    found = list(cases((8, 16)))
    assert len(found) == len(set(found)) == 4 * 2 * 2
    assert {case.schedule for case in found} == {"linear", "cosine", "polynomial", "geometric"}


@pytest.mark.parametrize(("counts", "bits"), [([4], 0.0), ([3, 3, 3, 3], 2.0), ([1, 2, 1], 1.5)])
def test_unigram_entropy(counts: list[int], bits: float) -> None:
    tokens = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    assert unigram_entropy(tokens + 3) == pytest.approx(bits)


class Uniform(torch.nn.Module):
    """A causal network that knows nothing, of a model that reads a few tokens at a time."""

    causal = True
    time_conditioned = False

    def __init__(self, vocab_size: int, length: int) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(torch.zeros(vocab_size))
        self.length = length

    def forward(self, z_t: torch.Tensor, *_: object, select: torch.Tensor | None) -> torch.Tensor:
        assert z_t.shape[1] <= self.length
        logits = self.logits.expand(*z_t.shape, -1)
        return logits if select is None else logits[select]


def test_a_scorer_reads_the_text_in_its_own_tokens() -> None:
    """27 letters score bytes: 8 bits a character, whatever the lengths of either."""
    letters = CODECS.build({"name": "characters", "length": 10})
    own = CODECS.build({"name": "bytes", "length": 4})
    scorer = Scorer(Autoregressive(Uniform(256, 4), 256), own, letters)
    assert scorer.length == 10
    result = scorer.quality(torch.randint(27, (3, 10), generator=seeded()))
    assert result.mean == pytest.approx(8.0)
    assert result.standard_error == pytest.approx(0, abs=1e-9)
    assert result.draws == 3


def test_rows_are_kept_for_their_question(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    log, other = Log(path, {"count": 4}), Log(path, {"count": 8})
    assert log.rows() == {}
    log.keep(ROW)
    other.keep(dataclasses.replace(ROW, entropy=9.0))
    assert log.rows() == {ROW.case: ROW}
    assert other.rows()[ROW.case].entropy == 9.0
    nothing = Log(None, {})
    nothing.keep(ROW)
    assert nothing.rows() == {}
    path.write_text('{"step": 3}\n')
    with pytest.raises(ValueError, match="choose another --out"):
        log.rows()


def test_a_chart_has_a_line_for_each_schedule_and_grid() -> None:
    rows = [dataclasses.replace(ROW, case=case) for case in cases((8, 16))][:-1]
    shown = chart(rows, "title", (8, 16), Estimate(0.25, 0.5, 4))
    *lines, real = shown.series
    assert len(lines) == 8
    assert [value.mean for value in real.values if value] == [0.25, 0.25]
    assert [len([v for v in s.values if v]) for s in lines] == [2] * 7 + [1]
    assert shown.draw().size == (1920, 1200)
