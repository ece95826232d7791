"""One run from the queue to its last word, told to the player as it happens."""

import time
import uuid
from collections.abc import Iterator
from itertools import chain
from typing import Any

from app.lane import Lane, Ticket
from app.logic import batches, play, prepare
from app.render import Transcript
from app.shelf import Shelf
from app.state import Request


def perform(shelf: Shelf, lane: Lane, request: Request, visitor: str) -> Iterator[str]:
    """The growing transcript of a run, for the player.

    Args:
        shelf: where the model is.
        lane: where the run waits for its turn.
        request: what to sample.
        visitor: who asks; `lane.stop(visitor)` stops the run.

    Raises:
        ValueError: the run cannot be done; the transcript has been told before.
    """
    transcript = Transcript(uuid.uuid4().hex[:8])
    try:
        with lane.join(visitor) as ticket:
            yield from _wait(ticket, transcript)
            if ticket.stopped.is_set():
                yield transcript.note("stopped", "Stopped before it began.")
                return
            yield from _run(shelf, request, ticket, transcript)
    except ValueError as error:
        yield transcript.note("failed", str(error))
        raise
    except Exception:
        yield transcript.note("failed", "Something went wrong here. The server's log says what.")
        raise


def complete(shelf: Shelf, lane: Lane, request: Request, visitor: str) -> dict[str, Any]:
    """The result of a run, for programs: text, seed, nfe, seconds, trajectory.

    Raises:
        ValueError: the run cannot be done.
    """
    transcript = Transcript(uuid.uuid4().hex[:8])
    with lane.join(visitor) as ticket:
        for _ in chain(_wait(ticket, transcript), _run(shelf, request, ticket, transcript)):
            pass
    document = transcript.document()
    end = document["lines"][-1]
    return {
        "text": transcript.decoded(),
        "seed": request.seed,
        "nfe": end["nfe"],
        "seconds": end["seconds"],
        "trajectory": document,
    }


def _wait(ticket: Ticket, transcript: Transcript) -> Iterator[str]:
    ahead = ticket.wait(0)
    while ahead and not ticket.stopped.is_set():
        yield transcript.note("queued", f"Waiting: {ahead} ahead")
        before = ahead
        while ahead == before and not ticket.stopped.is_set():
            ahead = ticket.wait(0.5)
    yield transcript.text


def _run(shelf: Shelf, request: Request, ticket: Ticket, transcript: Transcript) -> Iterator[str]:
    name = shelf.find(request.checkpoint).name
    if not shelf.is_loaded(name):
        yield transcript.note("loading", f"Loading {name}")
    run = prepare(shelf, request)
    yield transcript.start(run)
    start, index, nfe = time.perf_counter(), 0, 0
    for batch in batches(play(run, stopped=ticket.stopped.is_set)):
        index, nfe = batch[-1].index, batch[-1].nfe
        yield transcript.frames(batch)
    seconds = time.perf_counter() - start
    facts = {"seconds": round(seconds, 3), "nfe": nfe, "seed": request.seed}
    if index < run.steps:
        message = f"Stopped at step {index}/{run.steps}. Partial result kept."
        yield transcript.note("stopped", message, **facts)
    else:
        message = f"Done in {seconds:.1f} s, seed {request.seed}"
        yield transcript.note("done", message, **facts)
