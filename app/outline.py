"""Schedules as curves to be drawn: alpha, weight, and how many masks each step should remove."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from app.shelf import Shelf
from mdcore.sampling import Sampler
from mdcore.schedules import SCHEDULES, MaskingSchedule

POINTS = 65
"""Of a curve over t in [0, 1], both ends among them."""


def alphas(schedule: MaskingSchedule) -> list[float]:
    """Alpha at times evenly from 0 to 1; the mean over tokens if they differ."""
    return _mean(schedule.alpha(_times(schedule)))


def weights(schedule: MaskingSchedule) -> list[float]:
    """The loss weight at the same times but 0, where most are infinite; else as `alphas`."""
    return _mean(schedule.weight(_times(schedule)[1:]))


def still_masked(schedule: MaskingSchedule, times: Tensor) -> list[float]:
    """The share of the masks at the first of some times that should be left at each of them."""
    hidden = schedule.hidden(times.to(_device(schedule), torch.float64)).mean(-1).detach()
    return [float(share) for share in hidden / hidden[0]]


def shares(schedule: MaskingSchedule, sampler: Sampler, masked: int) -> list[float]:
    """The share of the masks that each step of a run should remove; together they are 1."""
    left = [*still_masked(schedule, sampler.times(schedule, masked))[:-1], 0.0]
    return [before - after for before, after in pairwise(left)]


def curves(schedule: MaskingSchedule, sampler: Sampler, masked: int) -> dict[str, Sequence[float]]:
    """All of it, for a panel: alphas, weights and shares, rounded."""
    drawn = {
        "alphas": alphas(schedule),
        "weights": weights(schedule),
        "shares": shares(schedule, sampler, masked),
    }
    return {name: [float(f"{value:.4g}") for value in values] for name, values in drawn.items()}


def schedule_of(
    shelf: Shelf, checkpoint: str | None, spec: dict[str, object] | None
) -> MaskingSchedule:
    """A schedule by its spec; for None the checkpoint's own, which is loaded for it."""
    if spec is not None:
        return SCHEDULES.build(spec)
    return shelf.load(shelf.find(checkpoint).name).model.schedule


def _times(schedule: MaskingSchedule) -> Tensor:
    return torch.linspace(0, 1, POINTS, dtype=torch.float64, device=_device(schedule))


def _device(schedule: MaskingSchedule) -> torch.device:
    return next((p.device for p in schedule.parameters()), torch.device("cpu"))


def _mean(values: Tensor) -> list[float]:
    return [float(value) for value in values.detach().mean(-1)]
