"""What every source of documents offers."""

from collections.abc import Iterator
from typing import Literal, Protocol

from mdcore.registry import Registry

Split = Literal["train", "validation"]

DATASETS: "Registry[Source]" = Registry("data set")


class Source(Protocol):
    """Documents in two splits; `streamed` ones are too many to hold in memory."""

    streamed: bool

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of a split, in a fixed order."""
        ...
