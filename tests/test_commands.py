"""The commands, run as a user runs them: in processes of their own, without a network."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from mdcore.autoregressive import Autoregressive
from mdcore.checkpoint import load_any_checkpoint, load_checkpoint
from training.subjects import text_model
from training.utilisation import forward_flops

SAMPLE = Path(__file__).parent / "sample.txt"
SMALL = ["--width", "32", "--depth", "1", "--heads", "2", "--vocab-size", "300"]
OFFLINE = {**os.environ, "HF_HUB_OFFLINE": "1"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", *map(str, words)]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*words), capture_output=True, text=True, env=OFFLINE, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `training.train` was stopped with Ctrl-C and went on with --resume."""
    out = tmp_path_factory.mktemp("runs") / "mouse"
    train = ["training.train", "childrens-books", "--data", SAMPLE, "--out", out, *SMALL]
    train += ["--steps", "40", "--batch-size", "2", "--sample-every", "40"]
    stopped = subprocess.Popen(
        command(*train), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=OFFLINE
    )
    metrics = out / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text()):
        assert stopped.poll() is None, stopped.communicate()[0]
    stopped.send_signal(signal.SIGINT)
    output, _ = stopped.communicate(timeout=60)
    assert "Go on with the same command and --resume" in output
    resumed = run(*train, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    return out


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `training.train --objective autoregressive` leaves."""
    out = tmp_path_factory.mktemp("runs") / "scorer"
    train = ["training.train", "childrens-books", "--objective", "autoregressive"]
    train += ["--data", SAMPLE, "--out", out, *SMALL, "--steps", 20, "--batch-size", 2]
    result = run(*train)
    assert result.returncode == 0, result.stderr
    return out / "last"


def test_train_leaves_checkpoints_and_metrics(trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30, 40]
    assert {"step", "loss", "bits_per_token", "tokens_per_second"} <= lines[0].keys()
    assert "validation_bits_per_character" in lines[-1]
    assert load_checkpoint(trained / "last").step == 40
    assert (trained / "best" / "config.json").exists()
    assert list((trained / "tensorboard").iterdir())


def test_sample_keeps_prompt_and_infill(trained: Path, tmp_path: Path) -> None:
    result = run("training.sample", trained / "last", "--prompt", "The mouse", "--steps", 8)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("The mouse")
    assert "[MASK]" not in result.stdout

    out = tmp_path / "filled.txt"
    infill = ["--infill", "The [MASK] sat.", "--count", 2, "--steps", 4, "--out", out]
    assert run("training.sample", trained / "last", *infill).returncode == 0
    first, second = re.split(r"--- seed \d\n", out.read_text())[1:]
    for text in (first, second):
        assert text.startswith("The")
        assert text.rstrip("\n").endswith(" sat.")


def test_a_sample_does_not_depend_on_its_batch(trained: Path) -> None:
    draw = ["training.sample", trained / "last", "--steps", 8, "--temperature", 0.5]
    alone = run(*draw, "--seed", 4).stdout
    together = run(*draw, "--seed", 3, "--count", 3).stdout
    assert f"--- seed 4\n{alone}" in together


def test_evaluate_prints_one_json_object(trained: Path) -> None:
    result = run("training.evaluate", trained / "last", SAMPLE, "--draws", 4, "--limit", 3)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["draws"] == 4
    assert figures["tokens"] == 3 * 256
    assert figures["perplexity"] == pytest.approx(2 ** figures["bits_per_token"])
    in_all = figures["bits_per_character"] * figures["characters"]
    assert in_all == pytest.approx(figures["bits_per_token"] * figures["tokens"])
    assert 0 < figures["standard_error"] < figures["bits_per_token"]


def test_an_autoregressive_model_is_measured_exactly(scorer: Path) -> None:
    assert isinstance(load_any_checkpoint(scorer).model, Autoregressive)
    first, second = (run("training.evaluate", scorer, SAMPLE, "--seed", seed) for seed in (0, 1))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout  # no chance in it
    figures = json.loads(first.stdout)
    assert (figures["standard_error"], figures["draws"]) == (0, 1)
    assert 0 < figures["bits_per_character"] < figures["bits_per_token"]


def test_an_autoregressive_model_writes_on_from_a_prompt(scorer: Path) -> None:
    result = run("training.sample", scorer, "--prompt", "The mouse", "--count", 2)
    assert result.returncode == 0, result.stderr
    first, second = re.split(r"--- seed \d\n", result.stdout)[1:]
    assert first != second
    for text in (first, second):
        assert text.startswith("The mouse")
        assert "[MASK]" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--infill", "The [MASK] sat."], "writes left to right"),
        (["--guidance", "2"], "--guidance is for masked diffusion"),
    ],
)
def test_what_an_autoregressive_model_cannot_do(
    scorer: Path, words: list[str], message: str
) -> None:
    result = run("training.sample", scorer, *words)
    assert result.returncode != 0
    assert message in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["training.train", "childrens-books", "--out", "NEW", "--data", "no.txt"],
            "does not exist",
        ),
        (["training.train", "childrens-books", "--out", "NEW"], "--data PATH"),
        (["training.sample", "no/checkpoint"], "holds no checkpoint"),
        (["training.evaluate", "no/checkpoint", "x"], "holds no checkpoint"),
        (["training.sample", "TRAINED", "--label", "3"], "this model has 0 classes"),
        (["training.sample", "TRAINED", "--infill", "no hole"], "Nothing is masked"),
        (["training.evaluate", "TRAINED", "SAMPLE", "--draws", "1"], "at least 2"),
        (["training.variance", "TRAINED", "SAMPLE"], "lower --pairs or --batch-size"),
        (["training.quality", "TRAINED", "--scorer", "TRAINED"], "training.train scorer"),
    ],
)
def test_mistakes_get_one_line_that_says_what_to_do(
    trained: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    places = {"TRAINED": trained / "last", "SAMPLE": SAMPLE, "NEW": tmp_path / "new"}
    result = run(*(places.get(word, word) for word in words))
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_variance_prints_a_table_or_json_and_draws(trained: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plot.png"
    words = ["training.variance", trained / "last", SAMPLE, "--pairs", 2, "--batch-size", 2]
    shown, told = run(*words, "--plot", plot), run(*words, "--json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(told.stdout)["rows"]
    assert len(rows) == 2 * 4  # independent and low-discrepancy times, four shared schedules
    lines = shown.stdout.splitlines()[2:]
    for row, line in zip(rows, lines, strict=True):
        assert line.startswith(f"| {row['schedule']} ")
        assert f"{row['bits_per_token']['mean']:.4f} ± " in line
    with Image.open(plot) as picture:
        assert picture.format == "PNG"


def test_quality_prints_a_row_for_each_case_and_goes_on(
    trained: Path, scorer: Path, tmp_path: Path
) -> None:
    log, plot = tmp_path / "rows.jsonl", tmp_path / "plot.png"
    words = ["training.quality", trained / "last", "--scorer", scorer, "--count", 2, "--out", log]
    first = run(*words, "--steps", 2)
    assert first.returncode == 0, first.stderr
    head = first.stdout.splitlines()
    assert "bits per character" in head[0]
    assert len(head) == 2 + 4 * 2  # four shared schedules, two grids
    assert len({len(line) for line in head}) == 1
    again = run(*words, "--steps", 2, 3, "--plot", plot, "--real", SAMPLE)
    assert re.fullmatch(r"\| held out +\| +- \|.* \d\.\d{4} ± .*", again.stdout.splitlines()[2])
    assert set(first.stdout.splitlines()) < set(again.stdout.splitlines())  # times included
    assert len(log.read_text().splitlines()) == 4 * 2 * 2
    with Image.open(plot) as picture:
        assert picture.format == "PNG"


def test_curves_of_runs_stand_side_by_side(tmp_path: Path) -> None:
    for name, unit, steps in (
        ("text", "bits_per_character", (2, 4)),
        ("more", "bits_per_token", (4,)),
    ):
        error = "standard_error" if unit == "bits_per_token" else f"{unit}_standard_error"
        lines = [{"step": 1, "loss": 9.0}]
        lines += [
            {"step": k, f"validation_{unit}": 8 / k, f"validation_{error}": 0.125} for k in steps
        ]
        (tmp_path / name).mkdir()
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / name / "metrics.jsonl").write_text(text)
    plot = tmp_path / "curves.png"
    result = run("training.curves", tmp_path / "text", tmp_path / "more", "--plot", plot)
    assert result.returncode == 0, result.stderr
    cells = [[cell.strip() for cell in row.split("|")] for row in result.stdout.splitlines()]
    assert cells[0][1:4] == ["step", "text", "more"]
    assert cells[2][1:4] == ["2", "4.000 ± 0.125", ""]
    assert cells[3][1:4] == ["4", "2.000 ± 0.125", "2.000 ± 0.125"]
    with Image.open(plot) as picture:
        assert picture.width > 900
    result = run("training.curves", tmp_path)
    assert "holds no metrics.jsonl; give the --out folder" in result.stderr


def test_benchmark_prints_both_tables() -> None:
    small = ["--width", 64, "--depth", 1, "--steps", 4, "--batches", 1, "--vocabularies", 300]
    result = run("training.benchmark", *small, "--reference-steps", 2, "--repeats", 1)
    assert result.returncode == 0, result.stderr
    rows = [line for line in result.stdout.splitlines() if line.startswith("| 300")]
    assert len(rows) == 2
    assert all(re.search(r"\*\*\d+\.\dx\*\*", row) for row in rows)


def test_benchmark_of_memory_and_of_utilisation() -> None:
    small = ["--width", 64, "--depth", 1, "--length", 16, "--vocabularies", 300]
    result = run("training.benchmark", "--what", "memory", *small)
    assert result.returncode == 0, result.stderr
    assert "\n| 300 | 4 |" in result.stdout
    result = run("training.benchmark", "--what", "utilisation", "--widths", 64, "--depth", 1)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\n\| 64 \| [\d,]+ \| \d\.\d{3} \| \d+% \| \d+\.\d% \|", result.stdout)
    assert "\n| openwebtext | 162M |" in result.stdout


def test_benchmark_of_writing() -> None:
    small = ["--width", 64, "--depth", 1, "--length", 16, "--batches", 2, "--repeats", 1]
    result = run("training.benchmark", "--what", "writing", "--steps", 4, *small)
    assert result.returncode == 0, result.stderr
    assert re.search(r"\n\| autoregressive \| 2 \| 16 \| 16 \| .* \| 1.00 \|", result.stdout)
    assert re.search(r"\n\| MD4 \| 2 \| 4 \| [34] \| ", result.stdout)


def test_operations_are_counted_as_on_paper() -> None:
    """Of a transformer: its matrices, its attention, its head at half of the positions."""
    length, width, depth, hidden = 256, 128, 3, 384
    matrices = depth * (4 * width**2 + 3 * width * hidden)
    paper = 2 * length * matrices + depth * 4 * length**2 * width + length * width * 500
    assert forward_flops(text_model(500, width, depth)) == paper
