"""Schedules as curves to be drawn: alpha, weight, and how many masks each step should remove."""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from app.panels import in_panel, read_panels
from app.shelf import Shelf
from app.state import MAX_TOKENS, RELOAD, check_whole
from mdcore.sampling import SAMPLERS, Sampler
from mdcore.schedules import SCHEDULES, MaskingSchedule

Json = dict[str, Any]
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


def curves(schedule: MaskingSchedule, sampler: Sampler, masked: int) -> Json:
    """All of it, for a panel: alphas, weights and shares, rounded; and how many are masked."""
    drawn = {
        "alphas": alphas(schedule),
        "weights": weights(schedule),
        "shares": shares(schedule, sampler, masked),
    }
    rounded = {name: [float(f"{v:.4g}") for v in values] for name, values in drawn.items()}
    return {"masked": masked, **rounded}


def outline(shelf: Shelf, model: object, panels: object, masked: object) -> list[Json]:
    """The curves of panels before they run.

    Args:
        shelf: where the model is; it is loaded only if a panel has the model's own schedule.
        model: its name.
        panels: as `read_panels` takes them.
        masked: how many tokens are masked at the start; None for all.

    Raises:
        ValueError: there is no such model, or a panel is wrong.
    """
    if not isinstance(model, str):
        raise ValueError(f"The model's name must be a string. {RELOAD}")
    entry = shelf.find(model)
    count: Any = entry.length if masked is None else masked
    check_whole("masked", count, 1, MAX_TOKENS)
    drawn = []
    for number, panel in enumerate(read_panels(panels)):
        with in_panel(number):
            if panel.spec is None:
                schedule = shelf.load(entry.name).model.schedule
            else:
                schedule = SCHEDULES.build(panel.spec)
            drawn.append(curves(schedule, SAMPLERS.build(panel.rule), int(count)))
    return drawn


def _times(schedule: MaskingSchedule) -> Tensor:
    return torch.linspace(0, 1, POINTS, dtype=torch.float64, device=_device(schedule))


def _device(schedule: MaskingSchedule) -> torch.device:
    return next((p.device for p in schedule.parameters()), torch.device("cpu"))


def _mean(values: Tensor) -> list[float]:
    return [float(value) for value in values.detach().mean(-1)]
