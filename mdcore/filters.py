"""Filters: logits -> logits, applied before a token is drawn."""

from typing import Protocol

import torch
from torch import Tensor

from mdcore.registry import Registry


class Filter(Protocol):
    """Reshapes the distribution that a token is drawn from."""

    def __call__(self, logits: Tensor) -> Tensor:
        """(N, V) -> (N, V); -inf forbids a token."""
        ...


FILTERS: "Registry[Filter]" = Registry("filter")


@FILTERS.register("temperature")
class Temperature:
    """Logits divided by a temperature >= 0; 0 keeps the likeliest token alone."""

    def __init__(self, temperature: float = 1.0) -> None:
        if not temperature >= 0:
            raise ValueError(f"temperature is {temperature}; it must be 0 or more.")
        self.temperature = temperature

    def __call__(self, logits: Tensor) -> Tensor:
        if self.temperature == 0:
            return logits.masked_fill(logits < logits.amax(-1, keepdim=True), -torch.inf)
        return logits / self.temperature


@FILTERS.register("top_p")
class TopP:
    """The smallest set of tokens whose mass is at least p, the one that crosses p included."""

    def __init__(self, p: float = 1.0) -> None:
        if not 0 < p <= 1:
            raise ValueError(f"top-p is {p}; it must be in (0, 1].")
        self.p = p

    def __call__(self, logits: Tensor) -> Tensor:
        if self.p == 1:
            return logits
        ordered, order = logits.double().softmax(-1).sort(dim=-1, descending=True, stable=True)
        before = ordered.cumsum(-1) - ordered
        dropped = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= self.p)
        return logits.masked_fill(dropped, -torch.inf)


@FILTERS.register("top_k")
class TopK:
    """The k likeliest tokens; all of them if there are fewer."""

    def __init__(self, k: int = 50) -> None:
        if k < 1:
            raise ValueError(f"top-k is {k}; it must be at least 1.")
        self.k = k

    def __call__(self, logits: Tensor) -> Tensor:
        if self.k >= logits.shape[-1]:
            return logits
        kept = logits.topk(self.k).indices
        return torch.full_like(logits, -torch.inf).scatter(-1, kept, logits.gather(-1, kept))
