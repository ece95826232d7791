"""A comparison from the queue to its last figure, told to the page as it happens."""

from collections.abc import Callable, Iterator

from app.chronicle import Chronicle
from app.comparison import DRAWS, MAX_DRAWS, Side, bits_of, play_sides, prepare_sides, row_of
from app.lane import Lane, Ticket
from app.live import finish, performed, sample_of
from app.logic import batches
from app.panels import Comparison
from app.render import Json
from app.shelf import Shelf
from app.state import check_whole


def perform_comparison(
    shelf: Shelf, lane: Lane, comparison: Comparison, visitor: str
) -> Iterator[str]:
    """The growing text of a comparison, see app.chronicle; else as `perform_all`."""
    told = Chronicle(comparison)
    texts = performed(
        lane, visitor, [told], lambda ticket: _compare(shelf, ticket, told, [], DRAWS)
    )
    return (text for (text,) in texts)


def complete_comparison(
    shelf: Shelf, lane: Lane, comparison: Comparison, visitor: str, *, draws: int = DRAWS
) -> Json:
    """The result of a comparison, for programs.

    Returns:
        seed, same_noise, same_order; and panels, each with what the table says of it, its text or
        image and its trajectory.

    Raises:
        ValueError: it cannot be done.
    """
    check_whole("draws", draws, 0, MAX_DRAWS)
    told = Chronicle(comparison)
    rows: list[Json] = []
    finish(lane, visitor, [told], lambda ticket: _compare(shelf, ticket, told, rows, draws))
    panels = [
        row | sample_of(transcript) | {"trajectory": transcript.document()}
        for row, transcript in zip(rows, told.transcripts, strict=True)
    ]
    return {
        "panels": panels,
        "seed": comparison.request.seed,
        "same_noise": comparison.same_noise,
        "same_order": told.agreed,
    }


def _compare(
    shelf: Shelf, ticket: Ticket, told: Chronicle, rows: list[Json], draws: int
) -> Iterator[tuple[str]]:
    """Do it, and put into `rows` what the table says in the end."""
    request = told.comparison.request
    name = shelf.find(request.checkpoint, request.kind).name
    if not shelf.is_loaded(name):
        yield (told.note("loading", f"Loading {name}"),)
    sides = prepare_sides(shelf, told.comparison)
    yield (told.start(sides),)
    stopped = ticket.stopped.is_set
    for batch in batches(play_sides(sides, stopped=stopped)):
        yield (told.frames(batch),)
    told.end(sides)
    rows += [row_of(*pair) for pair in zip(told.comparison.panels, sides, strict=True)]
    for number, row in enumerate(rows):
        told.row(number, row)
    if all(side.share == 1 for side in sides):
        yield (told.note("measuring", "Measuring bits per token"),)
        yield from _measure(told, sides, rows, draws, stopped)
    yield (_last_word(told, sides),)


def _measure(
    told: Chronicle, sides: list[Side], rows: list[Json], draws: int, stopped: Callable[[], bool]
) -> Iterator[tuple[str]]:
    for number, (side, row) in enumerate(zip(sides, rows, strict=True)):
        tokens = told.transcripts[number].tokens
        bits = bits_of(side.run, tokens, draws=draws, stopped=stopped)
        row["bits_per_token"] = None if bits is None else round(bits.mean, 4)
        row["standard_error"] = None if bits is None else round(bits.standard_error, 4)
        yield (told.row(number, row),)


def _last_word(told: Chronicle, sides: list[Side]) -> str:
    if any(side.share < 1 for side in sides):
        return told.note("stopped", "Stopped. Partial results kept.")
    seconds = sum(side.seconds for side in sides)
    return told.note("done", f"Done in {seconds:.1f} s, seed {told.comparison.request.seed}")
