"""What a run survives: kill -9 at any moment, a full disk, folders and files that are not right."""

import errno
import json
import math
import os
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from readme import ROOT
from test_training import SAMPLE, finish, tiny

import training.command
import training.data.local
import training.loop
import training.train
from mdcore.checkpoint import load_checkpoint
from training.config import PRESETS, TrainConfig
from training.loop import learning_rate_factor, train
from training.run import Run, read_state
from training.train import Arguments, cut

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, int]]:
    """The answer of survival_worker.py, which imports torch once and forks each attempt."""
    folder = tmp_path_factory.mktemp("killed")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "survival_worker.py"), str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, int]] = json.loads(done.stdout.splitlines()[-1])
    return told


def test_killed_at_random_twenty_times_it_ends_as_if_it_never_was(
    killed: dict[str, dict[str, int]],
) -> None:
    """Weights, optimizer state and curve are compared there, to the bit."""
    assert killed["random"]["kills"] == 20
    assert killed["random"]["finished"] >= 1


@pytest.mark.parametrize("disk", ["swapping", "renaming"])
def test_killed_at_each_moment_of_writing_it_leaves_whole_checkpoints(
    killed: dict[str, dict[str, int]], disk: str
) -> None:
    assert killed[disk]["moments"] > 20  # of a step that writes best, last and state


def test_metrics_have_one_line_a_step_after_a_kill(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    lines = [json.dumps({"step": step}) + "\n" for step in (2, 4, 6, 8)]
    log.write_text("".join(lines) + '{"step": 10, "lo')
    cut(log, 6)
    assert log.read_text() == "".join(lines[:2])
    log.unlink()
    cut(log, 6)
    assert log.read_text() == ""


def command_line(config: TrainConfig, monkeypatch: pytest.MonkeyPatch, resume: bool = False) -> str:
    """The one line with which the command ends, or "" if all went well."""
    monkeypatch.setitem(PRESETS, "tiny", config)
    monkeypatch.setattr(training.train, "draw", lambda *_: "a sample")
    arguments = Arguments(preset="tiny", out=config.out, device="cpu", resume=resume)
    monkeypatch.setattr(training.command.tyro, "cli", lambda *_, **__: arguments)
    try:
        training.command.command("training.train", Arguments, training.train.run)
    except SystemExit as error:
        message = str(error)
        assert len(message.splitlines()) == 1
        return message.removeprefix("training.train: ")
    return ""


def test_a_run_that_is_done_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A cluster may start it once more."""
    config = tiny(tmp_path / "run")
    assert command_line(config, monkeypatch) == ""
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert command_line(config, monkeypatch, resume=True) == ""
    assert "Done before: the model of step 8" in capsys.readouterr().out
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_a_run_killed_before_its_first_checkpoint_is_resumed_or_begun_anew(tmp_path: Path) -> None:
    for folder, resume in (("resumed", True), ("anew", False)):
        config = tiny(tmp_path / folder, log_every=1)
        with pytest.raises(RuntimeError):
            train_and_fail(config)
        assert not (config.out / "last").exists()
        straight = finish(tiny(tmp_path / f"{folder} straight", log_every=1))
        assert finish(config, resume=resume) == straight


def stopped_at_4(out: Path) -> TrainConfig:
    """A run of 8 steps that was stopped, and saved, at the fourth."""
    config = tiny(out, warmup=1)  # what the command makes of 8 steps
    records = train(config, device=CPU)
    assert [next(records).step, next(records).step] == [2, 4]
    records.close()
    return config


def train_and_fail(config: TrainConfig) -> None:
    records = train(config, device=CPU)
    next(records)
    records.throw(RuntimeError("power cut"))


# Disks and folders


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A limit on the size of files stands for the full disk: the writing fails midway."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("size", "file"), [(10_000, "model.safetensors"), (100_000, "state.safetensors")]
)
def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, file: str
) -> None:
    config = stopped_at_4(tmp_path / "run")
    before = {path.name for path in config.out.iterdir()}
    with files_of_at_most(size):
        message = command_line(config, monkeypatch, resume=True)
    assert re.search(
        rf"Step 8 cannot be saved: .*{file} cannot be written .*free space.* "
        r"step 4 is whole .* --resume",
        message,
    )
    assert {path.name for path in config.out.iterdir()} == before | {"tensorboard", "metrics.jsonl"}
    assert load_checkpoint(config.out / "last").step == (4 if file[0] == "m" else 8)
    assert read_state(config.out / "state.safetensors")[0]["step"] == 4
    assert command_line(config, monkeypatch, resume=True) == ""
    assert equal(config, finished(tmp_path / "straight"))


def finished(out: Path) -> TrainConfig:
    config = tiny(out, warmup=1)  # what the command makes of 8 steps
    finish(config)
    return config


def equal(one: TrainConfig, other: TrainConfig) -> bool:
    """Whether two runs left the same state, to the bit."""
    first, second = (read_state(config.out / "state.safetensors")[1] for config in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first | second)


def test_a_disk_that_is_full_at_once_is_told_before_the_first_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with files_of_at_most(10_000):
        message = command_line(tiny(tmp_path / "run"), monkeypatch)
    assert re.search("state.safetensors cannot be written .*; free space", message)


def test_a_log_that_cannot_be_written_loses_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is saved where the log failed: it is the log's disk that was full."""
    config = tiny(tmp_path / "run", checkpoint_every=8, evaluate_every=8)
    monkeypatch.setattr(training.train, "show", out_of_space)
    assert "No space left on device" in command_line(config, monkeypatch)
    assert read_state(config.out / "state.safetensors")[0]["step"] == 2


def out_of_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_impossible_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    message = command_line(tiny(tmp_path / "file" / "run"), monkeypatch)
    assert re.search(r"file/run cannot be made a folder \(Not a directory\); choose", message)


def test_a_folder_that_becomes_read_only_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writing itself is replaced, since to root nothing is read-only."""
    config = stopped_at_4(tmp_path / "run")
    monkeypatch.setattr("training.run.save_tensors", read_only)
    message = command_line(config, monkeypatch, resume=True)
    assert re.search("Step 8 cannot be saved: .*Read-only.* step 4 is whole", message)
    assert read_state(config.out / "state.safetensors")[0]["step"] == 4


def read_only(_: object, path: Path, __: object) -> None:
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))


# Numbers that are none


@pytest.mark.parametrize("spoiled", ["loss", "weight"])
def test_what_is_not_finite_is_never_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoiled: str
) -> None:
    """Step 7 goes wrong between two log points; a weight may, where no loss shows it yet."""
    config = stopped_at_4(tmp_path / "run")
    spoil = 7 if spoiled == "loss" else 8  # no loss follows the last update
    whole = training.loop.update

    def update(run: Run, *rest: Any) -> torch.Tensor:
        loss = whole(run, *rest)
        if run.step == spoil and spoiled == "weight":
            next(run.model.parameters()).data[0] = math.nan
        return loss * math.nan if run.step == spoil and spoiled == "loss" else loss

    monkeypatch.setattr(training.loop, "update", update)
    message = command_line(config, monkeypatch, resume=True)
    rate = 0.02 * learning_rate_factor(config, spoil - 1)
    assert f"at step {spoil}, learning rate {rate:.3g} and " in message
    assert f"Last good checkpoint: step 4 is in {config.out / 'last'}" in message
    assert load_checkpoint(config.out / "last").step == 4
    monkeypatch.undo()
    assert finish(config, resume=True)
    assert equal(config, finished(tmp_path / "straight"))


def test_a_stop_does_not_save_what_is_not_finite(tmp_path: Path) -> None:
    records = train(tiny(tmp_path / "run"), device=CPU)
    record = next(records)
    next(record.model.parameters()).data[0] = math.inf
    with pytest.raises(FloatingPointError, match=r"ema\..* is not finite at step 2, .* none"):
        records.close()
    assert read_state(tmp_path / "run" / "state.safetensors")[0]["step"] == 0


# Data


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "b.txt cannot be read (No such file or directory); put it back, or leave it out."),
        (b"fa\xe7ade", "b.txt is not UTF-8 text"),
        (b"\x7fELF\0\0\1", "b.txt is no text, there are zero bytes in it; leave it out."),
        (b"", "training text has 0 tokens"),
    ],
    ids=["vanished", "latin-1", "binary", "empty"],
)
def test_a_file_that_is_not_right_is_named_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, message: str
) -> None:
    """It goes wrong between listing and reading, in a run that goes on."""
    data = tmp_path / "data"
    data.mkdir()
    for name in "ab":
        (data / f"{name}.txt").write_bytes(SAMPLE.read_bytes())
    config = tiny(tmp_path / "run", data={"name": "text", "paths": [str(data)]})
    records = train(config, device=CPU)
    next(records)
    records.close()
    before = (config.out / "state.safetensors").read_bytes()
    listed = training.data.local._text_files

    def listed_then_changed(path: Path) -> list[Path]:
        files = listed(path)
        for file in files if content == b"" else files[1:]:
            file.unlink() if content is None else file.write_bytes(content)
        return files

    monkeypatch.setattr(training.data.local, "_text_files", listed_then_changed)
    assert message in command_line(config, monkeypatch, resume=True)
    assert (config.out / "state.safetensors").read_bytes() == before
