"""One run from the queue to its last word, told to the player as it happens."""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from app.lane import Lane, Ticket
from app.logic import Run, batches, play, play_all, prepare
from app.render import Transcript
from app.shelf import Shelf
from app.state import Frame, Request
from app.uploads import png

STOPPED = "Stopped before it began."
T = TypeVar("T")


class Told(Protocol):
    """Something that visitors are told of as it happens, in a text that only ever grows."""

    text: str

    def note(self, state: str, message: str) -> str:
        """Add a state to the text; returns the text."""
        ...


def perform(shelf: Shelf, lane: Lane, request: Request, visitor: str) -> Iterator[str]:
    """The growing transcript of a run, of all its copies side by side; else as `perform_all`."""
    told = [_transcript()]
    texts = performed(lane, visitor, told, lambda ticket: _run(shelf, request, ticket, told))
    return (text for (text,) in texts)


def perform_all(
    shelf: Shelf, lane: Lane, request: Request, visitor: str
) -> Iterator[tuple[str, ...]]:
    """The growing transcripts of a run, one a copy, for as many players.

    Args:
        shelf: where the model is.
        lane: where the run waits for its turn.
        request: what to sample.
        visitor: who asks; `lane.stop(visitor)` stops the run.

    Raises:
        ValueError: the run cannot be done; the transcripts have been told before.
    """
    told = [_transcript(row) for row in range(request.copies)]
    return performed(lane, visitor, told, lambda ticket: _run(shelf, request, ticket, told))


def performed(
    lane: Lane, visitor: str, told: Sequence[Told], go: Callable[[Ticket], Iterator[T]]
) -> Iterator[T | tuple[str, ...]]:
    """What is told of something that has the model for itself, from the queue on.

    Args:
        lane: where it waits for its turn.
        visitor: who asks.
        told: what is told of the states on the way.
        go: what to do, once it is its turn.

    Raises:
        ValueError: it cannot be done; that has been told before.
    """
    try:
        with lane.join(visitor) as ticket:
            yield from _wait(ticket, told)
            if ticket.stopped.is_set():
                yield _note(told, "stopped", STOPPED)
                return
            yield from go(ticket)
    except ValueError as error:
        yield _note(told, "failed", str(error))
        raise
    except Exception:
        yield _note(told, "failed", "Something went wrong here. The server's log says what.")
        raise


def complete(shelf: Shelf, lane: Lane, request: Request, visitor: str) -> dict[str, Any]:
    """The result of a run of one copy, for programs: text or image, seed, nfe, seconds, trajectory.

    Raises:
        ValueError: the run cannot be done.
    """
    told = [_transcript()]
    finish(lane, visitor, told, lambda ticket: _run(shelf, request, ticket, told))
    document = told[0].document()
    last = document["lines"][-1]
    return {
        **sample_of(told[0]),
        "seed": request.seed,
        "nfe": last["nfe"],
        "seconds": last["seconds"],
        "trajectory": document,
    }


def sample_of(transcript: Transcript) -> dict[str, Any]:
    """What a run of one copy made: its text, or its image as PNG in base64."""
    (raw,) = transcript.decoded()
    return {"text": raw} if isinstance(raw, str) else {"image": png(raw)}


def finish(
    lane: Lane, visitor: str, told: Sequence[Told], go: Callable[[Ticket], Iterator[object]]
) -> None:
    """Do something that has the model for itself to its end; else as `performed`."""
    with lane.join(visitor) as ticket:
        for _ in _wait(ticket, told):
            pass
        if ticket.stopped.is_set():
            raise ValueError(STOPPED)
        for _ in go(ticket):
            pass


def _transcript(row: int | None = None) -> Transcript:
    return Transcript(uuid.uuid4().hex[:8], row)


def _note(told: Sequence[Told], state: str, message: str) -> tuple[str, ...]:
    return tuple(transcript.note(state, message) for transcript in told)


def _wait(ticket: Ticket, told: Sequence[Told]) -> Iterator[tuple[str, ...]]:
    ahead = ticket.wait(0)
    while ahead and not ticket.stopped.is_set():
        yield _note(told, "queued", f"Waiting: {ahead} ahead")
        before = ahead
        while ahead == before and not ticket.stopped.is_set():
            ahead = ticket.wait(0.5)
    yield tuple(transcript.text for transcript in told)


def _run(
    shelf: Shelf, request: Request, ticket: Ticket, told: list[Transcript]
) -> Iterator[tuple[str, ...]]:
    name = shelf.find(request.checkpoint, request.kind).name
    if not shelf.is_loaded(name):
        yield _note(told, "loading", f"Loading {name}")
    run = prepare(shelf, request)
    yield tuple(transcript.start(run) for transcript in told)
    start = time.perf_counter()
    last: tuple[Frame, ...] = ()
    stopped = ticket.stopped.is_set
    together = ((frame,) for frame in play(run, stopped=stopped))
    frames = together if told[0].row is None else play_all(run, stopped=stopped)
    for batch in batches(frames):
        last = batch[-1]
        rows = zip(told, zip(*batch, strict=True), strict=True)
        yield tuple(transcript.frames(frames) for transcript, frames in rows)
    seconds = time.perf_counter() - start
    yield tuple(
        end(transcript, run, frame, seconds) for transcript, frame in zip(told, last, strict=True)
    )


def end(transcript: Transcript, run: Run, last: Frame, seconds: float) -> str:
    """How a run ended, after its last frame."""
    seed = run.seeds[transcript.row or 0]
    facts = {
        "seconds": round(seconds, 3),
        "nfe": last.nfe,
        "seed": seed,
        "given": run.given,
        "kept": last.kept,
    }
    if last.index < run.steps:
        place = f"{run.before + last.index}/{run.before + run.steps}"
        message = f"Stopped at step {place}. Partial result kept."
        return transcript.note("stopped", message, **facts)
    return transcript.note("done", f"Done in {seconds:.1f} s, seed {seed}", **facts)
