"""Uniform numbers, and what is drawn with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Share:
    """The draws of one process for its rows of a batch that `size` processes hold together.

    Each has a generator of the same seed and keeps the numbers of its own rows, so that all of
    them together draw what one process would draw for the whole batch.
    """

    generator: torch.Generator
    rank: int
    size: int

    def rows(self, count: int) -> slice:
        """Which rows of the whole batch are this process's `count`."""
        return slice(self.rank * count, (self.rank + 1) * count)


BatchGenerator = torch.Generator | Share
"""One generator for a batch, or a share of one."""

Generators = BatchGenerator | Sequence[torch.Generator]
"""Likewise, or one generator for each row: then a row's draws are its own."""


def uniform(shape: Sequence[int], generator: Generators, device: torch.device) -> Tensor:
    """Float64 numbers in [0, 1) of a shape (B, ...); each row has its own generator if given B.

    Raises:
        ValueError: a sequence of generators has another length than the batch.
    """
    if isinstance(generator, torch.Generator):
        draw = torch.rand(*shape, generator=generator, dtype=torch.float64, device=generator.device)
        return draw.to(device)
    if isinstance(generator, Share):
        whole = uniform((generator.size * shape[0], *shape[1:]), generator.generator, device)
        return whole[generator.rows(shape[0])]
    if len(generator) != shape[0]:
        raise ValueError(
            f"{len(generator)} generators for {shape[0]} rows; give one, or one a row."
        )
    return torch.stack([uniform(shape[1:], row, device) for row in generator])


def inverse_cdf(logits: Tensor, u: Tensor) -> Tensor:
    """Tokens drawn in float64 with uniform numbers: (N, V), (N,) -> (N,).

    float32 Gumbel noise would truncate the tail and cool the samples (arXiv 2409.02908).
    """
    cumulative = logits.double().softmax(-1).cumsum(-1)
    place = torch.searchsorted(cumulative, u[:, None] * cumulative[:, -1:], right=True)
    return place.squeeze(-1).clamp(max=logits.shape[-1] - 1)


def low_discrepancy_times(batch: int, *, generator: BatchGenerator, device: torch.device) -> Tensor:
    """One shared uniform number spread evenly over the batch, (B,) float64 in [0, 1).

    Each time by itself is uniform, and together they cover [0, 1) evenly; a share's times are its
    rows of those of the whole batch.
    """
    if isinstance(generator, Share):
        whole = low_discrepancy_times(
            generator.size * batch, generator=generator.generator, device=device
        )
        return whole[generator.rows(batch)]
    start = uniform((1,), generator, device)
    return (start + torch.arange(batch, device=device, dtype=torch.float64) / batch) % 1
