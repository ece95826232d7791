"""Training by several processes: the same run as by one, shared."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from readme import ROOT
from test_training import tiny
from torch import nn

from mdcore.backbones import BACKBONES
from mdcore.diffusion import MD4, GenMD4
from mdcore.draws import Share, low_discrepancy_times, uniform
from mdcore.schedules import SCHEDULES
from training.data import Windows
from training.loop import train
from training.team import ALONE, Team

CPU = torch.device("cpu")
SAMPLE = Path(__file__).parent / "sample.txt"


def shares(size: int, seed: int = 3) -> list[Share]:
    return [Team(rank, size).noise(torch.Generator().manual_seed(seed)) for rank in range(size)]


@pytest.mark.parametrize("size", [2, 4])
def test_shares_put_together_are_the_draws_of_one_process(size: int) -> None:
    whole = torch.Generator().manual_seed(3)
    for _ in range(2):  # one draw after the other
        parts = [uniform((8 // size, 5), share, CPU) for share in shares(size)]
        assert torch.equal(torch.cat(parts), uniform((8, 5), whole.manual_seed(3), CPU))
    times = [
        low_discrepancy_times(8 // size, generator=share, device=CPU) for share in shares(size)
    ]
    alone = low_discrepancy_times(8, generator=whole.manual_seed(3), device=CPU)
    assert torch.equal(torch.cat(times), alone)
    assert sorted((alone * 8).long().tolist()) == list(range(8))  # spread over the whole batch


@pytest.mark.parametrize("schedule", list(SCHEDULES))
def test_the_mean_of_the_shares_losses_is_the_loss(schedule: str) -> None:
    """And so are the gradients: the same sum in another order, hence the float64 tolerance."""
    torch.manual_seed(0)
    cls = MD4 if SCHEDULES[schedule].shared else GenMD4
    network = BACKBONES.build(
        {"name": "transformer", "width": 16, "depth": 1, "heads": 2, "time_conditioned": True},
        vocab_size=5,
        length=6,
        shape=(6,),
        num_classes=0,
        causal=False,
    )
    model = cls(network, SCHEDULES.build({"name": schedule}, vocab_size=5), 5)
    nn.init.normal_(network.head.weight)
    x = torch.randint(5, (8, 6))

    def gradients(losses: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        model.zero_grad()
        mean = torch.stack(losses).mean()
        mean.backward()
        parts = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        return mean.detach(), torch.cat(parts)

    one = gradients([model.loss(x, generator=torch.Generator().manual_seed(3))])
    four = gradients(
        [model.loss(x[share.rows(2)], generator=share) for share in shares(4)],
    )
    torch.testing.assert_close(four[0], one[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(four[1], one[1], rtol=1e-4, atol=1e-5)


def test_each_process_reads_its_own_windows() -> None:
    tokens = torch.arange(100).numpy()

    def batch(team: Team) -> torch.Tensor:
        part = team.part(8)
        return Windows(tokens, length=4, batch_size=8, seed=0, part=part).batch(5).x

    parts = [batch(Team(rank, 4)) for rank in range(4)]
    assert torch.equal(torch.cat(parts), batch(ALONE))


def started(processes: int, *command: str) -> str:
    """What a command prints, run by torchrun if by several processes."""
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    launcher = [*run, str(processes)] if processes > 1 else [sys.executable]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [*launcher, *command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def curves(processes: int, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """What a team tells of each of several runs."""
    lines = [json.dumps(asked, default=str) for asked in jobs]
    told = started(processes, str(ROOT / "tests" / "team_worker.py"), *lines).splitlines()
    return [json.loads(line) for line in told[-len(jobs) :]]


def curve(processes: int, out: Path, schedule: str, accumulation: int) -> dict[str, Any]:
    return curves(processes, {"out": out, "schedule": schedule, "accumulation": accumulation})[0]


@pytest.mark.parametrize("schedule", ["linear", "learned_polynomial"])
def test_two_processes_train_as_one_does(tmp_path: Path, schedule: str) -> None:
    """Float32, the same sums in another order: the curves differ by rounding only."""
    one = curve(1, tmp_path / "one", schedule, 1)
    two = curve(2, tmp_path / "two", schedule, 1)
    assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
    # other noise, of 2 examples: the same figure within what it scatters
    assert two["validation"] == pytest.approx(one["validation"], rel=0.2)


def test_processes_that_accumulate_stay_of_one_mind(tmp_path: Path) -> None:
    told = curve(2, tmp_path / "run", "linear", 2)
    assert told["spread"] < 1e-6


def test_four_processes_leave_one_run(tmp_path: Path) -> None:
    options = [
        "--steps",
        "20",
        "--batch-size",
        "8",
        "--width",
        "32",
        "--depth",
        "1",
        "--heads",
        "2",
    ]
    options += ["--vocab-size", "300", "--data", str(SAMPLE), "--out", str(tmp_path / "run")]
    told = started(4, "-m", "training.train", "childrens-books", *options)
    assert told.count("reading the data") == told.count("Done.") == 1
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"batch_size 4 .* times the 3 processes"):
        next(train(tiny(tmp_path / "run"), device=CPU, team=Team(0, 3)))
