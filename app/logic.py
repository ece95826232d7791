"""What a run does: a request becomes frames. Plain functions; nothing here knows of a page."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from app.holes import Hole, read_canvas
from app.shelf import Shelf
from app.state import MAX_SEED, Frame, Request, Reveal
from mdcore.checkpoint import Checkpoint
from mdcore.diffusion import MD4
from mdcore.filters import FILTERS
from mdcore.sampling import SAMPLERS, Sampler, Step

T = TypeVar("T")
CANDIDATES = 5
YIELDS_PER_SECOND = 20


@dataclass(frozen=True, kw_only=True)
class Run:
    """A request made ready: everything is loaded, encoded and checked.

    Attributes:
        request: what was asked for.
        name: of the checkpoint.
        checkpoint: the model and its codec.
        sampler: with its filters.
        z: (B, L) long, on the model's device; what is not the mask is given. Its rows are alike.
        times: (T + 1,) float64, from 1 to 0.
        holes: of the text that was given.
    """

    request: Request
    name: str
    checkpoint: Checkpoint
    sampler: Sampler
    z: Tensor
    times: Tensor
    holes: tuple[Hole, ...] = ()

    @property
    def steps(self) -> int:
        """How many steps the run takes."""
        return len(self.times) - 1

    @property
    def masked(self) -> int:
        """How many positions are masked at the start."""
        return int((self.z[0] == self.checkpoint.model.mask_id).sum())

    @property
    def given(self) -> int:
        """How many positions are not."""
        return self.z.shape[-1] - self.masked

    @property
    def seeds(self) -> list[int]:
        """The seed of each copy: by itself it makes the same sample."""
        return [(self.request.seed + row) % (MAX_SEED + 1) for row in range(len(self.z))]


def prepare(shelf: Shelf, request: Request) -> Run:
    """Load the model and turn the text into tokens.

    Raises:
        ValueError: there is no such model, or it cannot do what was asked.
    """
    name = shelf.find(request.checkpoint).name
    checkpoint = shelf.load(name)
    model, codec = checkpoint.model, checkpoint.codec
    canvas = read_canvas(request.raw, codec)
    tokens = canvas.tokens
    if request.fill:
        masks = torch.full((codec.length - len(tokens),), model.mask_id)
        tokens = torch.cat([tokens, masks])
    masked = int((tokens == model.mask_id).sum())
    if not masked and request.fill:
        raise ValueError(
            f"The prompt fills all {codec.length:,} tokens, so there is nothing left to write. "
            "Shorten it."
        )
    if not masked:
        raise ValueError(
            "Nothing is masked, so there is nothing to fill in. Select words and press M."
        )
    sampler = SAMPLERS.build(
        {**request.sampler, "filters": [FILTERS.build(spec) for spec in request.filters]}
    )
    return Run(
        request=request,
        name=name,
        checkpoint=checkpoint,
        sampler=sampler,
        z=tokens.expand(request.copies, -1).to(shelf.device),
        times=sampler.times(model.schedule, masked),
        holes=canvas.holes,
    )


def play(run: Run, *, stopped: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
    """Sample a single copy, a frame a step; else as `play_all`."""
    return (frame for (frame,) in play_all(run, stopped=stopped))


def play_all(
    run: Run, *, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Frame, ...]]:
    """Sample, a frame a copy and step; ends early after the step in which `stopped` says so.

    Raises:
        ValueError: the numbers ran out of range or the memory ran out; the text says what to do.
    """
    model, before, done = run.checkpoint.model, run.z, 0
    calls = torch.zeros(len(run.z), dtype=torch.long, device=run.z.device)
    generator = [torch.Generator().manual_seed(seed) for seed in run.seeds]
    label = run.request.label
    condition = None if label is None else torch.full((len(run.z),), label)
    steps = run.sampler.trajectory(model, run.z, condition, generator=generator)
    try:
        for step in steps:
            calls += step.selected.any(-1)
            yield _frames(step, run.z, before, calls.tolist(), model)
            before, done = step.z, step.index
            if stopped():
                return
    except FloatingPointError as error:
        raise ValueError(
            f"The model returned NaN at step {done + 1} in {dtype_name(run)}. "
            "Start with --dtype float32."
        ) from error
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"The GPU ran out of memory at batch {len(run.z)}. Close what else uses it, or start "
            "with --device cpu."
        ) from error


def frames(shelf: Shelf, request: Request) -> Iterator[Frame]:
    """The frames of a request, one a sampler step.

    Raises:
        ValueError: as `prepare` and `play`.
    """
    return play(prepare(shelf, request))


def batches(frames: Iterator[T], per_second: float = YIELDS_PER_SECOND) -> Iterator[list[T]]:
    """All frames, gathered so that there are at most so many lists a second; the first at once."""
    held: list[T] = []
    due = time.monotonic()
    for frame in frames:
        held.append(frame)
        if time.monotonic() >= due:
            yield held
            held, due = [], time.monotonic() + 1 / per_second
    if held:
        yield held


def dtype_name(run: Run) -> str:
    """The number format of the model's matrix work: "bfloat16"."""
    return str(run.checkpoint.model.compute_dtype).removeprefix("torch.")


@torch.no_grad()
def _frames(
    step: Step, given: Tensor, before: Tensor, calls: list[int], model: MD4
) -> tuple[Frame, ...]:
    """What a step changed in each row, from the canvas and the tokens before it, (B, L) both."""
    mask_id = model.mask_id
    alpha = model.schedule.alpha(torch.tensor(step.t, dtype=torch.float64)).mean().item()
    remasked = (before != mask_id) & (step.z == mask_id)
    kept = ((step.z == given) & (given != mask_id)).sum(-1).tolist()
    reveals: list[list[Reveal]] = [[] for _ in step.z]
    for row, reveal in _reveals(step):
        reveals[row].append(reveal)
    return tuple(
        Frame(
            index=step.index,
            nfe=calls[row],
            t=step.t,
            alpha=alpha,
            revealed=tuple(reveals[row]),
            remasked=tuple(remasked[row].nonzero()[:, 0].tolist()),
            kept=kept[row],
        )
        for row in range(len(step.z))
    )


def _reveals(step: Step) -> Iterator[tuple[int, Reveal]]:
    """What was revealed, each with its row."""
    if step.logits is None:
        return
    places = step.revealed.nonzero()
    tokens = step.z[step.revealed]
    asked = step.logits[step.revealed[step.selected]]
    for start in range(0, len(places), 256):  # in parts, to bound the memory
        part = slice(start, start + 256)
        logits, where, chosen = asked[part], places[part], tokens[part]
        log_p = logits.log_softmax(-1)
        top = log_p.topk(min(CANDIDATES, log_p.shape[-1]))
        columns = (
            where.tolist(),
            chosen.tolist(),
            log_p.gather(-1, chosen[:, None]).exp().squeeze(-1).tolist(),
            (torch.special.entr(log_p.exp()).sum(-1) / math.log(2)).tolist(),
            top.indices.tolist(),
            top.values.tolist(),
        )
        for (row, position), token, probability, entropy, ids, values in zip(*columns, strict=True):
            best = tuple(zip(ids, values, strict=True))
            yield row, Reveal(position, token, probability, entropy, best)
