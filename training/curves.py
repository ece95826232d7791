"""Training curves of runs side by side: python -m training.curves RUN... [--plot FILE]."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from mdcore.evaluation import Estimate
from training.chart import Chart, Series
from training.command import command
from training.table import Table


@dataclass(frozen=True)
class Arguments:
    """Print what runs measured on their validation data, a column a run, and draw it."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of training runs, each with its metrics.jsonl."""
    plot: Path | None = None
    """A PNG to draw."""


def read_curve(run: Path) -> dict[int, Estimate]:
    """Validation figures of a run by their step: bits per character, or per token without these.

    Raises:
        ValueError: the folder holds no run, or one that has measured nothing yet.
    """
    path = run / "metrics.jsonl"
    if not path.exists():
        raise ValueError(f"{run} holds no metrics.jsonl; give the --out folder of a training run.")
    curve = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        for unit, error in (
            ("bits_per_character", "bits_per_character_standard_error"),
            ("bits_per_token", "standard_error"),
        ):
            if f"validation_{unit}" in record:
                found = record[f"validation_{unit}"], record[f"validation_{error}"]
                curve[record["step"]] = Estimate(*found, draws=0)
                break
    if not curve:
        raise ValueError(f"{run} has measured nothing yet; wait for its first evaluation.")
    return curve


def run(arguments: Arguments) -> None:
    """Print the table, and draw the chart if asked for."""
    curves = [read_curve(folder) for folder in arguments.runs]
    names = [folder.name for folder in arguments.runs]
    steps = sorted(set().union(*curves))
    table = Table({"step": 9} | dict.fromkeys(names, 13))
    print(table.head)
    for step in steps:
        print(table.row(f"{step:,}", *(_told(curve.get(step)) for curve in curves)))
    if arguments.plot:
        chart = Chart(
            title="Validation during training",
            x="optimizer steps",
            y="bits per character, or token",
            categories=[f"{step:,}" for step in steps],
            series=[
                Series(name, [curve.get(step) for step in steps], colour=place)
                for place, (name, curve) in enumerate(zip(names, curves, strict=True))
            ],
        )
        chart.draw().save(arguments.plot)


def _told(value: Estimate | None) -> str:
    return f"{value.mean:.3f} ± {value.standard_error:.3f}" if value else ""


if __name__ == "__main__":
    command("training.curves", Arguments, run)
