"""What every source of data offers, and what a model is trained on."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from mdcore.registry import Registry

Split = Literal["train", "validation"]


class Source(Protocol):
    """Documents in two splits; `streamed` ones are too many to hold in memory.

    `local` names the source that reads files of this kind from a disk.
    """

    local: ClassVar[str]
    streamed: bool

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of a split, in a fixed order."""
        ...


class PictureSource(Protocol):
    """Pictures in two splits, with or without classes."""

    local: ClassVar[str]

    @property
    def class_names(self) -> Sequence[str]:
        """The names of the labels; empty if there are no classes."""
        ...

    def pictures(self, split: Split) -> Iterator[tuple[Image.Image, int | None]]:
        """Each picture of a split with its label, None if there are no classes."""
        ...


ALL = slice(None)
"""All of a batch."""

DATASETS: "Registry[Source | PictureSource]" = Registry("data set")


class Examples(NamedTuple):
    """Clean tokens x (n, L) long and labels (n,) long, or None."""

    x: Tensor
    condition: Tensor | None = None

    def to(self, device: torch.device) -> "Examples":
        """The same on another device; a GPU copies them while it is still at work."""
        condition = self.condition
        return Examples(_to(self.x, device), None if condition is None else _to(condition, device))

    def take(self, rows: Tensor | slice) -> "Examples":
        """Some of the rows."""
        return Examples(self.x[rows], None if self.condition is None else self.condition[rows])


def _to(tensor: Tensor, device: torch.device) -> Tensor:
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Batches(Protocol):
    """Batches that are a function of the step, so that a resumed run sees the same ones.

    A process of several is given its own part of each.
    """

    def batch(self, step: int) -> Examples:
        """This step's batch, or the part of it that this process has."""
        ...
