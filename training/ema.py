"""An exponential moving average of a model's weights."""

import copy

import torch

from mdcore.objectives import Model
from training.fsdp import own


class EMA:
    """A copy of the model, in evaluation mode, whose weights follow the model's slowly.

    Args:
        model: the model that is trained.
        decay: share of the old weights kept at each update; less in the first updates, so that
            the random initial weights are soon forgotten.
    """

    def __init__(self, model: Model, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"EMA decay is {decay}; it must be in [0, 1).")
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, model: Model, step: int) -> None:
        """Move towards the model's weights after training step `step` (counted from 1)."""
        decay = min(self._decay, step / (step + 9))
        averages = [own(parameter) for parameter in self.model.parameters()]
        torch._foreach_lerp_(averages, [own(p) for p in model.parameters()], 1 - decay)
