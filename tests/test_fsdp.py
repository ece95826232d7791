"""A model in shards: the same run as that of one process, kept in the same files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from team_worker import job, losses
from test_team import SAMPLE, curves, started
from test_training import tiny
from torch import nn

import training.run
from mdcore.checkpoint import load_checkpoint
from training.loop import train
from training.run import read_state

RUNS: dict[str, dict[str, Any]] = {
    "md4": {"schedule": "linear"},
    "md4 adamw": {"schedule": "linear", "optimizer": {"name": "adamw"}},
    "genmd4": {"schedule": "learned_polynomial", "optimizer": {"name": "adamw"}},
    "accumulated": {"schedule": "learned_polynomial", "accumulation": 2},
    "begun alone": {"schedule": "linear"},
    "begun in shards": {"schedule": "linear"},
}

ALONE = [name for name in RUNS if "accumulation" not in RUNS[name]]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Each run by one process and by two that share the model; one launch for all, of seconds."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.run, "matmul_dtype", lambda _: torch.float32)
        alone = {name: losses(job(folder / name, **RUNS[name])) for name in ALONE}
        losses(job(folder / "begun alone-2", **RUNS["begun alone"]), stop=4)
        extra = {"begun alone": {"resume": True}, "begun in shards": {"stop": 4}}
        jobs = [
            {"out": folder / f"{name}-2", "shard": True, **run, **extra.get(name, {})}
            for name, run in RUNS.items()
        ]
        told = curves(2, *jobs, {"out": folder / "accumulated", **RUNS["accumulated"]})
        shared = dict(zip(RUNS, told, strict=False))
        alone["accumulated"] = told[-1]  # one process would cut a batch into other parts
        rest = job(folder / "begun in shards-2", **RUNS["begun in shards"])
        shared["begun in shards"]["losses"] += losses(rest, resume=True)["losses"]
        yield {"folder": folder, "alone": alone, "shared": shared}


@pytest.mark.parametrize("name", list(RUNS))
def test_two_processes_that_share_the_model_train_as_one_does(
    runs: dict[str, Any], name: str
) -> None:
    """Float32, the same sums in another order: curves and weights differ by rounding only.

    Muon's iterations run in bfloat16, whose rounding is 0.4 % of each of its updates.
    """
    alone, shared = runs["alone"][name], runs["shared"][name]
    expected = alone["losses"][4:] if name == "begun alone" else alone["losses"]
    assert shared["losses"] == pytest.approx(expected, rel=1e-4)
    assert shared["spread"] == 0  # all have the same averages
    assert shared["held"] < 0.6 * alone["held"] or "accumulation" in RUNS[name]
    one, two = (load_checkpoint(runs["folder"] / f"{name}{kind}" / "last") for kind in ("", "-2"))
    assert one.step == two.step == 8
    first, second = (nn.utils.parameters_to_vector(c.model.parameters()) for c in (one, two))
    adamw = RUNS[name].get("optimizer", {}).get("name") == "adamw"
    assert (second - first).norm() < (1e-4 if adamw else 1e-2) * first.norm()


def test_shards_are_kept_in_the_same_files(runs: dict[str, Any]) -> None:
    (facts, one), (facts_2, two) = (
        read_state(runs["folder"] / f"genmd4{kind}" / "state.safetensors") for kind in ("", "-2")
    )
    assert facts["config"] == facts_2["config"]
    assert {k: (v.shape, v.dtype) for k, v in one.items()} == {
        k: (v.shape, v.dtype) for k, v in two.items()
    }


def test_the_validation_figure_is_that_of_one_process(runs: dict[str, Any]) -> None:
    """Other noise, of 2 examples: the same within what it scatters."""
    for name in ("md4", "genmd4"):
        alone, shared = (runs[who][name]["validation"] for who in ("alone", "shared"))
        assert shared == pytest.approx(alone, rel=0.2)


def test_four_processes_share_a_run_from_the_command_line(tmp_path: Path) -> None:
    """Rows that four cannot share evenly; evaluation and samples, which all take part in."""
    options = ["--steps", "20", "--batch-size", "8", "--width", "36", "--depth", "1"]
    options += ["--heads", "2", "--vocab-size", "301", "--sample-every", "10", "--shard"]
    options += ["--data", str(SAMPLE), "--out", str(tmp_path / "run")]
    told = started(4, "-m", "training.train", "childrens-books", *options)
    assert told.count("Done.") == 1
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]
    assert load_checkpoint(tmp_path / "run" / "best").step == 20
    assert not [path for path in (tmp_path / "run").iterdir() if path.name[0] == "."]


def test_one_process_has_nobody_to_share_with(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--shard out, or start several with torchrun"):
        next(train(tiny(tmp_path, shard=True), device=torch.device("cpu")))


def test_shards_are_not_compiled() -> None:
    with pytest.raises(ValueError, match="leave one of them out"):
        tiny(Path("unused"), shard=True, compile=True)
