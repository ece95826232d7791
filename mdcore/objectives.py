"""Objectives: what a network is trained for, and so which model is made of it."""

import abc
from typing import ClassVar

from torch import nn

from mdcore.autoregressive import Autoregressive
from mdcore.backbones.layers import Conv
from mdcore.diffusion import MD4, GenMD4
from mdcore.registry import Registry, Spec
from mdcore.schedules import SCHEDULES

Model = MD4 | Autoregressive
"""What can be trained: both have a denoiser, a vocabulary and a loss."""


def freeze(model: Model) -> None:
    """Hold the weights of matrix products in the format that these are done in.

    Autocast would cast all of them in every call, which takes a fifth of a call on one text. Not a
    bit of the logits changes; but the model cannot be trained any more, nor its compute_dtype be
    raised.
    """
    for module in model.denoiser.modules():
        if isinstance(module, nn.Linear | Conv):
            module.to(model.compute_dtype)


OBJECTIVES: "Registry[Objective]" = Registry("objective")


class Objective(abc.ABC):
    """Makes a model of a network."""

    causal: ClassVar[bool]
    """Whether the network may look at earlier tokens only."""

    @abc.abstractmethod
    def model(self, denoiser: nn.Module, vocab_size: int) -> Model:
        """The model of a fresh network; V is vocab_size.

        Raises:
            ValueError: the network does not fit the objective.
        """


@OBJECTIVES.register("diffusion")
class Diffusion(Objective):
    """Masked diffusion: MD4, or GenMD4 if the schedule is learned."""

    causal = False

    def __init__(self, schedule: Spec) -> None:
        self.schedule = schedule

    def model(self, denoiser: nn.Module, vocab_size: int) -> MD4:
        """An MD4 of the network."""
        schedule = SCHEDULES.build(self.schedule, vocab_size=vocab_size)
        cls = MD4 if schedule.shared else GenMD4
        return cls(denoiser, schedule, vocab_size)


@OBJECTIVES.register("autoregressive")
class LeftToRight(Objective):
    """The next token given those before it, as a causal baseline."""

    causal = True

    def model(self, denoiser: nn.Module, vocab_size: int) -> Autoregressive:
        """An Autoregressive of the network."""
        return Autoregressive(denoiser, vocab_size)
