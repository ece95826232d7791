"""What a schedule does in training: python -m training.variance CHECKPOINT DATA [--plot FILE].

The bound does not know the schedule; the noise of its estimate does. For each schedule that all
tokens share, with independent and with low-discrepancy times, the same network is asked for the
bound of the same batches: twice for each, with other times and masks. What the two differ by gives
the variance due to times and masks, free of that between batches.
"""

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from tqdm import tqdm

from mdcore.checkpoint import load_checkpoint
from mdcore.diffusion import MD4
from mdcore.draws import low_discrepancy_times, uniform
from mdcore.evaluation import Estimate, estimate
from mdcore.hardware import DeviceName, pick_device
from mdcore.pacing import paced
from mdcore.schedules import SCHEDULES
from training.chart import Chart, Series, stacked
from training.command import command
from training.data import Examples
from training.heldout import read_examples
from training.table import Table

TIMES: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "independent": lambda batch, generator: uniform((batch,), generator, generator.device),
    "low discrepancy": lambda batch, generator: low_discrepancy_times(
        batch, generator=generator, device=generator.device
    ),
}
"""How the uniform numbers of a batch that become times are drawn."""


@dataclass(frozen=True)
class Arguments:
    """Print the variance of the bound's estimate and of its gradient for each shared schedule."""

    checkpoint: tyro.conf.Positional[Path]
    """Folder of a trained model of masked diffusion whose schedule all tokens share."""
    data: tyro.conf.Positional[str]
    """What to measure on, as in training.evaluate."""
    batch_size: int = 16
    """Examples in a batch; a loss is the mean over them."""
    pairs: int = 32
    """Batches; for each the loss and its gradient are drawn twice."""
    seed: int = 0
    """Of times and masks."""
    json: bool = False
    """Print one JSON object instead of the table."""
    plot: Path | None = None
    """A PNG to draw: both variances for each schedule."""
    device: DeviceName = "auto"
    """Where to compute."""


@dataclass(frozen=True)
class Pair:
    """Two draws of the loss on one batch: unbiased estimates, in nats per token.

    Attributes:
        loss: the bound.
        variance: of one draw of the loss.
        gradient_variance: of one draw of its gradient, summed over the parameters.
        gradient_square: the squared norm of the mean gradient.
    """

    loss: float
    variance: float
    gradient_variance: float
    gradient_square: float


@dataclass(frozen=True)
class Noise:
    """The means of `Pair` over batches, for one schedule and one way to draw times."""

    schedule: str
    times: str
    bits_per_token: Estimate
    variance: Estimate
    gradient_variance: Estimate
    gradient_square: Estimate


def draw_pairs(
    model: MD4, batches: Iterable[Examples], times: str, *, generator: torch.Generator
) -> Iterator[Pair]:
    """A Pair a batch.

    Args:
        model: in evaluation mode; its parameters that take gradients are those measured.
        batches: clean tokens on the generator's device.
        times: a name in TIMES.
        generator: draws times and masks.
    """
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    for x, condition in batches:
        losses, gradients = [], []
        for _ in range(2):
            t = model.to_times(TIMES[times](len(x), generator))
            z_t = model.mask(x, t, generator=generator)
            loss = model.nelbo(x, t, z_t, condition).mean() / x.shape[1]
            gradients.append(torch.autograd.grad(loss, parameters, materialize_grads=True))
            losses.append(loss.item())
        both = list(zip(*gradients, strict=True))
        yield Pair(
            loss=sum(losses) / 2,
            variance=(losses[0] - losses[1]) ** 2 / 2,
            gradient_variance=sum((a - b).double().square().sum().item() for a, b in both) / 2,
            gradient_square=sum((a.double() * b).sum().item() for a, b in both),
        )


def measure(model: MD4, schedule: str, times: str, batches: Iterable[Examples], seed: int) -> Noise:
    """The noise of a schedule by name, with the same network and, each time, the same seed."""
    other = paced(model, SCHEDULES.build({"name": schedule}))
    device = next(model.parameters()).device
    generator = torch.Generator(device).manual_seed(seed)
    pairs = list(draw_pairs(other, batches, times, generator=generator))

    def over_pairs(name: str) -> Estimate:
        return estimate([getattr(pair, name) for pair in pairs])

    return Noise(
        schedule=schedule,
        times=times,
        bits_per_token=over_pairs("loss").scaled(1 / math.log(2)),
        variance=over_pairs("variance"),
        gradient_variance=over_pairs("gradient_variance"),
        gradient_square=over_pairs("gradient_square"),
    )


def signal(rows: Iterable[Noise]) -> float:
    """The squared norm of the mean gradient, which no schedule changes: over all rows together.

    Raises:
        ValueError: it is lost in the noise.
    """
    squares = [row.gradient_square.mean for row in rows]
    mean = sum(squares) / len(squares)
    if mean <= 0:
        raise ValueError("The mean gradient is lost in the noise; raise --pairs or --batch-size.")
    return mean


def table(rows: list[Noise]) -> str:
    """The rows as a table."""
    mean = signal(rows)
    shown = Table(
        {"schedule": 10, "times": 15, "bits per token": 16, "variance": 19, "of the gradient": 19}
        | {"relative": 8}
    )
    lines = [
        shown.row(
            row.schedule,
            row.times,
            f"{row.bits_per_token.mean:.4f} ± {row.bits_per_token.standard_error:.4f}",
            f"{row.variance.mean:.2e} ± {row.variance.standard_error:.1e}",
            f"{row.gradient_variance.mean:.2e} ± {row.gradient_variance.standard_error:.1e}",
            f"{row.gradient_variance.mean / mean:.3g}",
        )
        for row in rows
    ]
    return "\n".join([shown.head, *lines])


def charts(rows: list[Noise]) -> list[Chart]:
    """Variance of the bound's estimate, and of its gradient relative to the mean gradient."""
    mean = signal(rows)
    return [
        _chart(
            "Variance of the loss, in squares of nats per token", rows, lambda row: row.variance
        ),
        _chart(
            "Variance of its gradient / squared norm of the mean gradient",
            rows,
            lambda row: row.gradient_variance.scaled(1 / mean),
        ),
    ]


def _chart(title: str, rows: list[Noise], value: Callable[[Noise], Estimate]) -> Chart:
    schedules = list(dict.fromkeys(row.schedule for row in rows))
    series = [
        Series(
            name,
            [value(row) for row in rows if row.times == name],
            colour=index,
            dashed=name == "independent",
            joined=False,
        )
        for index, name in enumerate(TIMES)
    ]
    return Chart(title, "", "", schedules, series, log=True)


def batches_of(examples: Examples, batch_size: int, count: int) -> list[Examples]:
    """That many batches of different examples, spread over all of them, tokens as long.

    Raises:
        ValueError: there are too few examples.
    """
    needed = batch_size * count
    if len(examples.x) < needed:
        raise ValueError(
            f"{count} batches of {batch_size} need {needed} examples, the data has "
            f"{len(examples.x)}; lower --pairs or --batch-size, or give more data."
        )
    rows = torch.linspace(0, len(examples.x) - 1, needed).long().view(count, batch_size)
    batches = (examples.take(batch) for batch in rows)
    return [Examples(x.long(), condition) for x, condition in batches]


def run(arguments: Arguments) -> None:
    """Measure; print the table or JSON, and draw the plot."""
    if arguments.pairs < 2 or arguments.batch_size < 1:
        raise ValueError(
            "--pairs must be at least 2, for standard errors; --batch-size at least 1."
        )
    device = pick_device(arguments.device)
    checkpoint = load_checkpoint(arguments.checkpoint, device=device)
    examples = read_examples(checkpoint, arguments.data).to(device)
    batches = batches_of(examples, arguments.batch_size, arguments.pairs)
    shared = [name for name in SCHEDULES if SCHEDULES[name].shared]
    cases = list(itertools.product(shared, TIMES))
    rows = []
    for schedule, times in cases:
        watched = tqdm(batches, desc=f"{schedule}, {times}", unit="pair")
        rows.append(measure(checkpoint.model, schedule, times, watched, arguments.seed))
    if arguments.json:
        print(json.dumps({"batch_size": arguments.batch_size, "rows": [asdict(r) for r in rows]}))
    else:
        print(table(rows))
    if arguments.plot is not None:
        stacked(charts(rows)).save(arguments.plot)


if __name__ == "__main__":
    command("training.variance", Arguments, run)
