"""What a run does: a request becomes frames. Plain functions; nothing here knows of a page."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from app.canvas import first_canvas, frame_time
from app.holes import Hole
from app.shelf import Shelf
from app.state import MAX_SEED, Candidates, Frame, Request, Reveal
from mdcore.checkpoint import Checkpoint, ModelConfig
from mdcore.diffusion import MD4
from mdcore.filters import FILTERS
from mdcore.guidance import guided
from mdcore.pacing import paced
from mdcore.sampling import SAMPLERS, Sampler, Start, Step
from mdcore.schedules import SCHEDULES

T = TypeVar("T")
CANDIDATES = 5
STRIDE = 0x9E3779B1  # odd, so that the seeds of different steps differ
YIELDS_PER_SECOND = 12


@dataclass(frozen=True, kw_only=True)
class Run:
    """A request made ready: everything is loaded, encoded and checked.

    Attributes:
        request: what was asked for.
        name: of the checkpoint.
        checkpoint: the codec, and the model as it was trained.
        model: the model as it is asked, guided and under another schedule if that is wanted.
        label: the class to be drawn, or None.
        sampler: with its filters.
        z: (B, L) long, on the model's device; its rows are alike.
        stays: (L,) bool, the tokens that are given.
        times: (T + 1,) float64, from the time at the start to 0.
        holes: of the text that was given.
    """

    request: Request
    name: str
    checkpoint: Checkpoint
    model: MD4
    label: int | None
    sampler: Sampler
    z: Tensor
    stays: Tensor
    times: Tensor
    holes: tuple[Hole, ...] = ()

    @property
    def steps(self) -> int:
        """How many steps the run takes."""
        return len(self.times) - 1

    @property
    def before(self) -> int:
        """How many steps were done before, by the run that this one goes on with."""
        return self.request.draft.step if self.request.draft else 0

    @property
    def masked(self) -> int:
        """How many positions are masked at the start."""
        return int((self.z[0] == self.model.mask_id).sum())

    @property
    def given(self) -> int:
        """How many tokens are given."""
        return int(self.stays.sum())

    @property
    def condition(self) -> Tensor | None:
        """The class of each copy, (B,) long, or None."""
        return None if self.label is None else torch.full_like(self.z[:, 0], self.label)

    @property
    def seeds(self) -> list[int]:
        """The seed of each copy: by itself it makes the same sample."""
        return [(self.request.seed + row) % (MAX_SEED + 1) for row in range(len(self.z))]

    @property
    def generators(self) -> list[torch.Generator]:
        """Fresh generators, one a copy.

        The seed makes other numbers at each step that a run is gone on with: what is masked there
        is masked because of the numbers that the seed made before.
        """
        mixed = [(seed + STRIDE * self.before) % (MAX_SEED + 1) for seed in self.seeds]
        return [torch.Generator().manual_seed(seed) for seed in mixed]


def prepare(shelf: Shelf, request: Request) -> Run:
    """Load the model and turn what was given into tokens.

    Raises:
        ValueError: there is no such model, or it cannot do what was asked.
    """
    name = shelf.find(request.checkpoint, request.kind).name
    checkpoint = shelf.load(name)
    label = _label(request.label, checkpoint.config)
    model = checkpoint.model
    if request.schedule is not None:
        model = paced(model, SCHEDULES.build(request.schedule, vocab_size=model.vocab_size))
    if label is not None and request.guidance != 1:
        model = guided(model, request.guidance, checkpoint.config.num_classes)
    sampler = SAMPLERS.build(
        {**request.sampler, "filters": [FILTERS.build(spec) for spec in request.filters]}
    )
    canvas = first_canvas(request, checkpoint)
    draft, t = request.draft, 1.0
    if draft is None:
        stays = canvas.tokens != model.mask_id
    else:
        stays = torch.tensor([k in draft.given for k in range(len(canvas.tokens))])
        t = frame_time(draft, model.schedule)
    return Run(
        request=request,
        name=name,
        checkpoint=checkpoint,
        model=model,
        label=label,
        sampler=sampler,
        z=canvas.tokens.expand(request.copies, -1).to(shelf.device),
        stays=stays.to(shelf.device),
        times=sampler.times(model.schedule, int((canvas.tokens == model.mask_id).sum()), t),
        holes=canvas.holes,
    )


def _label(label: int | str | None, config: ModelConfig) -> int | None:
    """The number of a class given by number or by name."""
    if isinstance(label, str) and label in config.classes:
        return config.classes.index(label)
    if label is None or (isinstance(label, int) and label < config.num_classes):
        return label
    if not config.num_classes:
        raise ValueError("This model has no classes. Leave the label out.")
    raise ValueError(
        f"There is no class {str(label)[:40]!r}; this model has {config.num_classes}, counted "
        f"from 0: {', '.join(config.classes)}."
    )


def play(run: Run, *, stopped: Callable[[], bool] = lambda: False) -> Iterator[Frame]:
    """Sample, a frame a step of all copies side by side; else as `play_all`.

    Position p of copy k is k L + p. A network call for several copies counts as one.
    """
    calls, before = 0, [0] * len(run.z)
    for frames in play_all(run, stopped=stopped):
        after = [frame.nfe for frame in frames]
        calls += after != before
        before = after
        yield beside(frames, len(run.stays), calls)


def beside(frames: Sequence[Frame], length: int, nfe: int) -> Frame:
    """Frames of copies of one length as one frame."""
    shifted = [
        (replace(reveal, position=copy * length + reveal.position))
        for copy, frame in enumerate(frames)
        for reveal in frame.revealed
    ]
    remasked = [copy * length + p for copy, frame in enumerate(frames) for p in frame.remasked]
    return replace(
        frames[0],
        nfe=nfe,
        revealed=tuple(shifted),
        remasked=tuple(remasked),
        kept=min(frame.kept for frame in frames),
    )


def play_all(
    run: Run, *, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[Frame, ...]]:
    """Sample, a frame a copy and step; ends early after the step in which `stopped` says so.

    Raises:
        ValueError: the numbers ran out of range or the memory ran out; the text says what to do.
    """
    before, done = run.z, 0
    calls = torch.zeros(len(run.z), dtype=torch.long, device=run.z.device)
    steps = run.sampler.trajectory(
        run.model,
        run.z,
        run.condition,
        generator=run.generators,
        start=Start(run.times[0].item(), run.stays.expand(len(run.z), -1)),
    )
    try:
        for step in steps:
            calls += step.selected.any(-1)
            yield _frames(step, run, before, calls.tolist())
            before, done = step.z, step.index
            if stopped():
                return
    except FloatingPointError as error:
        raise ValueError(
            f"The model returned NaN at step {done + 1} in {dtype_name(run)}. {_remedy(run)}"
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
    return str(run.model.compute_dtype).removeprefix("torch.")


def _remedy(run: Run) -> str:
    if run.checkpoint.model.compute_dtype == torch.float32:
        return "Its training went astray or its file is damaged: choose another model."
    return "Start with --dtype float32."


@torch.no_grad()
def _frames(step: Step, run: Run, before: Tensor, calls: list[int]) -> tuple[Frame, ...]:
    """What a step changed in each row, from the tokens before it, (B, L)."""
    mask_id = run.model.mask_id
    remasked = (before != mask_id) & (step.z == mask_id)
    kept = ((step.z == run.z) & run.stays).sum(-1).tolist()
    reveals: list[list[Reveal]] = [[] for _ in step.z]
    for row, reveal in _reveals(step):
        reveals[row].append(reveal)
    return tuple(
        Frame(
            index=step.index,
            nfe=calls[row],
            t=step.t,
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
        log_p, chosen = asked[part].log_softmax(-1), tokens[part]
        columns = (
            places[part].tolist(),
            chosen.tolist(),
            log_p.gather(-1, chosen[:, None]).squeeze(-1).tolist(),
            described(log_p),
        )
        for (row, position), token, own, (entropy, best) in zip(*columns, strict=True):
            yield row, Reveal(position, token, own, entropy, best)


def described(log_p: Tensor) -> list[tuple[float, Candidates]]:
    """Entropy in bits and the likeliest tokens of log-probabilities, (N, V) -> N pairs."""
    entropies = torch.special.entr(log_p.exp()).sum(-1) / math.log(2)
    top = log_p.topk(min(CANDIDATES, log_p.shape[-1]))
    best = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    candidates = [tuple(zip(ids, values, strict=True)) for ids, values in best]
    return list(zip(entropies.tolist(), candidates, strict=True))
