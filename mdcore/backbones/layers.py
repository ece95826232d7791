"""Layers that backbones share, and the registry they enter."""

import math

import torch
from torch import Tensor, nn

from mdcore.registry import Registry

BACKBONES: "Registry[nn.Module]" = Registry("backbone")


class Conditioning(nn.Module):
    """Time and class -> one vector: a sinusoid of 1000 t through an MLP, plus a class embedding.

    The class after the last, `num_classes`, stands for "no class": it is what training with label
    dropout and classifier-free guidance use.
    """

    def __init__(self, width: int, *, time_conditioned: bool, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.features = 256
        self.time = (
            nn.Sequential(nn.Linear(self.features, width), nn.SiLU(), nn.Linear(width, width))
            if time_conditioned
            else None
        )
        self.label = nn.Embedding(num_classes + 1, width) if num_classes else None

    def forward(self, t: Tensor, condition: Tensor | None) -> Tensor:
        """T (B,) in [0, 1] and condition (B,) long or None -> (B, width)."""
        parts = []
        if self.time is not None:
            parts.append(self.time(sinusoid(1000 * t, self.features)))
        if self.label is not None:
            if condition is None:
                condition = torch.full(t.shape, self.num_classes, device=t.device)
            parts.append(self.label(condition))
        elif condition is not None:
            raise ValueError("this model has no classes; leave the label out.")
        return nn.functional.silu(torch.stack(parts).sum(0))


def sinusoid(position: Tensor, features: int) -> Tensor:
    """Cosines and sines of geometrically spaced frequencies, (B,) -> (B, features) float32."""
    half = features // 2
    frequency = torch.exp(-math.log(10_000) / half * torch.arange(half, device=position.device))
    angle = position[:, None].float() * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def rotate(x: Tensor, angle: Tensor) -> Tensor:
    """Rotary position embedding (arXiv 2104.09864): x (..., L, D), angle (L, D/2)."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


def rotary_angle(length: int, head_width: int, device: torch.device) -> Tensor:
    """Angles of RoPE for positions 0 to length - 1, (L, D/2)."""
    frequency = 10_000 ** -torch.arange(0, 1, 2 / head_width, device=device)
    return torch.outer(torch.arange(length, device=device), frequency)
