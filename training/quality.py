"""Quality against steps: python -m training.quality CHECKPOINT --scorer CHECKPOINT [--steps T ...].

Each row draws the same number of samples, from the same seeds, with another schedule, grid of times
or number of steps; the network is the same. Of text an independent causal model tells how many bits
a character of the samples costs it: less is better, unless the samples have become dull, which
shows in their entropy. Of images a classifier tells how far their features lie from real ones.
"""

import itertools
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from mdcore.checkpoint import Checkpoint, load_checkpoint
from mdcore.diffusion import MD4
from mdcore.evaluation import Estimate
from mdcore.hardware import DeviceName, pick_device
from mdcore.objectives import freeze
from mdcore.pacing import paced
from mdcore.sampling import GRIDS, SAMPLERS
from mdcore.schedules import SCHEDULES
from training.chart import Chart, Series
from training.command import command
from training.data import spread
from training.heldout import read_examples
from training.judges import Judge, read_judge
from training.table import Table


@dataclass(frozen=True)
class Arguments:
    """Print a table of quality for each shared schedule, grid and number of steps."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model of masked diffusion whose schedule all tokens share."""
    scorer: Path
    """Folder of the judge: of text an autoregressive model, of images what training.classifier
    wrote."""
    real: str | None = None
    """Data as in training.evaluate, of whose held-out part as many examples are judged too: what
    perfect samples would get."""
    count: int = 64
    """Samples in each row."""
    steps: tuple[int, ...] = (8, 16, 32, 64, 128, 256)
    """Numbers of sampling steps."""
    batch_size: int = 32
    """Samples drawn at once; network calls are those of a batch."""
    seed: int = 0
    """Of the first sample of each row."""
    out: Path | None = None
    """A file of one JSON object a row; rows that it holds already are not drawn again."""
    plot: Path | None = None
    """A PNG to draw."""
    device: DeviceName = "auto"
    """Where to compute."""


@dataclass(frozen=True)
class Case:
    """What a row varies."""

    schedule: str
    grid: str
    steps: int


@dataclass(frozen=True)
class Row:
    """What was found.

    Attributes:
        case: what was varied.
        quality: what the judge says; less is better.
        entropy: of the tokens of all samples taken together, bits.
        calls: of the network, mean over batches.
        seconds: to draw all samples.
    """

    case: Case
    quality: Estimate
    entropy: float
    calls: float
    seconds: float


def draw(
    model: MD4, case: Case, length: int, seeds: range, batch_size: int
) -> tuple[Tensor, list[int]]:
    """Samples (n, length) on the CPU, one a seed, and the network calls of each batch."""
    other = paced(model, SCHEDULES.build({"name": case.schedule}))
    sampler = SAMPLERS.build({"name": "ancestral", "steps": case.steps, "grid": case.grid})
    device = next(model.parameters()).device
    samples, calls = [], []
    for first in range(0, len(seeds), batch_size):
        generators = [torch.Generator().manual_seed(s) for s in seeds[first : first + batch_size]]
        z = torch.full((len(generators), length), model.mask_id, device=device)
        nfe = 0
        for step in sampler.trajectory(other, z, generator=generators):
            z, nfe = step.z, step.nfe
        samples.append(z.cpu())
        calls.append(nfe)
    return torch.cat(samples), calls


def unigram_entropy(tokens: Tensor) -> float:
    """Entropy of the frequencies of tokens of any shape, bits."""
    counts = tokens.flatten().bincount().double()
    share = counts[counts > 0] / counts.sum()
    return -(share * share.log2()).sum().item()


def measure(model: MD4, judge: Judge, case: Case, seeds: range, batch_size: int) -> Row:
    """One row: draw, and judge."""
    began = time.perf_counter()
    samples, calls = draw(model, case, judge.length, seeds, batch_size)
    seconds = time.perf_counter() - began
    return Row(
        case=case,
        quality=judge.quality(samples),
        entropy=unigram_entropy(samples),
        calls=sum(calls) / len(calls),
        seconds=seconds,
    )


class Log:
    """Rows in a file, one JSON object a line; those of another question are left alone.

    Args:
        path: the file, or None to keep nothing.
        question: what all rows of this table share: models, count, batch size, seed.
    """

    def __init__(self, path: Path | None, question: dict[str, object]) -> None:
        self._path = path
        self._question = question

    def rows(self) -> dict[Case, Row]:
        """The rows that are there.

        Raises:
            ValueError: the file holds something else.
        """
        if self._path is None or not self._path.exists():
            return {}
        found = {}
        try:
            for line in self._path.read_text(encoding="utf-8").splitlines():
                stored = json.loads(line)
                if stored.pop("question") == self._question:
                    case, quality = Case(**stored.pop("case")), Estimate(**stored.pop("quality"))
                    found[case] = Row(case=case, quality=quality, **stored)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self._path} holds other lines than this command writes ({error}); "
                "choose another --out."
            ) from error
        return found

    def keep(self, row: Row) -> None:
        """Append a row."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"question": self._question, **asdict(row)}) + "\n")


def cases(steps: tuple[int, ...]) -> Iterator[Case]:
    """Every shared schedule on every grid with every number of steps."""
    shared = [name for name in SCHEDULES if SCHEDULES[name].shared]
    return itertools.starmap(Case, itertools.product(shared, GRIDS, steps))


def real_row(judge: Judge, checkpoint: Checkpoint, data: str, count: int) -> Row:
    """The same figures of held-out data, which no network had to be called for."""
    x = read_examples(checkpoint, data).x
    x = x[spread(len(x), count)]
    return Row(Case("held out", "-", 0), judge.quality(x), unigram_entropy(x), 0, 0)


def chart(
    rows: list[Row], title: str, steps: tuple[int, ...], real: Estimate | None = None
) -> Chart:
    """Quality against steps: a colour for each schedule, dashed on the cosine grid; real level."""
    known = {row.case: row.quality for row in rows}
    lines = list(dict.fromkeys((row.case.schedule, row.case.grid) for row in rows))
    schedules = list(dict.fromkeys(schedule for schedule, _ in lines))
    series = [
        Series(
            f"{schedule}, {grid} grid",
            [known.get(Case(schedule, grid, count)) for count in steps],
            colour=schedules.index(schedule),
            dashed=list(GRIDS).index(grid) > 0,
        )
        for schedule, grid in lines
    ]
    if real is not None:
        series.append(Series("held out", [real] * len(steps), colour=len(schedules)))
    return Chart(title, "sampling steps", "", list(map(str, steps)), series)


def run(arguments: Arguments) -> None:
    """Measure and print row by row; draw the plot."""
    if arguments.batch_size < 1 or min(arguments.steps, default=0) < 1:
        raise ValueError("--batch-size and --steps must be at least 1.")
    device = pick_device(arguments.device)
    checkpoint = load_checkpoint(arguments.checkpoint, device=device)
    freeze(checkpoint.model)
    judge = read_judge(arguments.scorer, checkpoint.codec, device)
    if arguments.count < judge.least:
        raise ValueError(f"--count is {arguments.count}; {judge.unit} needs {judge.least}.")
    question = {
        "checkpoint": [str(arguments.checkpoint), checkpoint.step],
        "scorer": str(arguments.scorer),
        "count": arguments.count,
        "batch_size": arguments.batch_size,
        "seed": arguments.seed,
    }
    log = Log(arguments.out, question)
    known, rows = log.rows(), []
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    unit = judge.unit
    shown = Table({"schedule": 10, "grid": 7, "steps": 5, "calls": 6, "seconds": 8, unit: 18}
                  | {"entropy": 7})  # fmt: skip
    print(shown.head, flush=True)
    real = None
    if arguments.real is not None:
        held_out = real_row(judge, checkpoint, arguments.real, arguments.count)
        print(shown.row(*cells(held_out)), flush=True)
        real = held_out.quality
    for case in tqdm(list(cases(arguments.steps)), unit="row"):
        row = known.get(case)
        if row is None:
            row = measure(checkpoint.model, judge, case, seeds, arguments.batch_size)
            log.keep(row)
        rows.append(row)
        tqdm.write(shown.row(*cells(row)))
        sys.stdout.flush()
    if arguments.plot is not None:
        title = f"{unit} of {arguments.count} samples (less is better)"
        chart(rows, title, arguments.steps, real).draw().save(arguments.plot)


def cells(row: Row) -> list[str]:
    """A row as text."""
    quality = row.quality
    return [
        row.case.schedule,
        row.case.grid,
        str(row.case.steps),
        f"{row.calls:.0f}",
        f"{row.seconds:.1f}",
        f"{quality.mean:.4f} ± {quality.standard_error:.4f}",
        f"{row.entropy:.3f}",
    ]


if __name__ == "__main__":
    command("training.quality", Arguments, run)
