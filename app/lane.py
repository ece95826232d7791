"""The lane: one run at a time has the model, the others wait in the order in which they came."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Ticket:
    """A visitor's place in the lane.

    Attributes:
        visitor: who stands there.
        stopped: set when the visitor asks the run to stop, or leaves.
    """

    def __init__(self, lane: "Lane", visitor: str) -> None:
        self._lane = lane
        self.visitor = visitor
        self.stopped = threading.Event()

    def wait(self, seconds: float) -> int:
        """How many are ahead, as soon as that changes or the time is over."""
        return self._lane._wait(self, seconds)


class Lane:
    """A queue for the model.

    Args:
        max_waiting: how many may wait behind the one that runs.
    """

    def __init__(self, max_waiting: int = 16) -> None:
        self._max_waiting = max_waiting
        self._tickets: list[Ticket] = []
        self._moved = threading.Condition()

    @contextmanager
    def join(self, visitor: str) -> Iterator[Ticket]:
        """A ticket at the end of the lane, given back when the block ends.

        Raises:
            ValueError: too many are waiting.
        """
        with self._moved:
            if len(self._tickets) > self._max_waiting:
                raise ValueError(
                    f"Busy: {self._max_waiting} requests are waiting. Try again in a minute."
                )
            ticket = Ticket(self, visitor)
            self._tickets.append(ticket)
        try:
            yield ticket
        finally:
            self._leave(lambda other: other is ticket)

    def stop(self, visitor: str) -> None:
        """Ask the visitor's runs to stop after their present step."""
        with self._moved:
            for ticket in self._tickets:
                if ticket.visitor == visitor:
                    ticket.stopped.set()
            self._moved.notify_all()

    def leave(self, visitor: str) -> None:
        """Stop the visitor's runs and let the next ones go ahead at once."""
        self.stop(visitor)
        self._leave(lambda ticket: ticket.visitor == visitor)

    def __len__(self) -> int:
        return len(self._tickets)

    def _leave(self, goes: Callable[[Ticket], bool]) -> None:
        with self._moved:
            self._tickets = [ticket for ticket in self._tickets if not goes(ticket)]
            self._moved.notify_all()

    def _wait(self, ticket: Ticket, seconds: float) -> int:
        with self._moved:
            before = self._ahead(ticket)
            if before and not ticket.stopped.is_set():
                self._moved.wait_for(
                    lambda: ticket.stopped.is_set() or self._ahead(ticket) != before, seconds
                )
            return self._ahead(ticket)

    def _ahead(self, ticket: Ticket) -> int:
        return self._tickets.index(ticket) if ticket in self._tickets else 0
