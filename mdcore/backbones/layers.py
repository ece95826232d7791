"""Layers that backbones share, and the registry they enter."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

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
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)

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


class Conv(nn.Module):
    """A convolution whose kernel is kept as the matrix (outputs, size * size * inputs).

    So it lies in memory as channels_last wants it, and an optimizer of matrices takes it as it is.
    A stride equal to the size cuts the input into patches.
    """

    def __init__(self, inputs: int, outputs: int, size: int = 3, *, stride: int = 1) -> None:
        super().__init__()
        self.kernel = (outputs, size, size, inputs)
        self.stride = stride
        self.padding = size // 2 if stride == 1 else 0
        self.weight = nn.Parameter(torch.empty(outputs, size * size * inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        nn.init.normal_(self.weight, std=self.weight.shape[1] ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        kernel = self.weight.view(self.kernel).permute(0, 3, 1, 2)
        return functional.conv2d(x, kernel, self.bias, self.stride, self.padding)


class Cache:
    """Keys and values that one block of a causal network made of the positions it has read."""

    def __init__(self) -> None:
        self._kept: tuple[Tensor, Tensor] | None = None

    @property
    def length(self) -> int:
        """Positions read so far."""
        return 0 if self._kept is None else self._kept[0].shape[-2]

    def extend(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep those of the next positions, (..., n, D) each; returns those of all."""
        if self._kept is not None:
            k = torch.cat([self._kept[0], k], dim=-2)
            v = torch.cat([self._kept[1], v], dim=-2)
        self._kept = k, v
        return k, v


class Recomputing(nn.Module):
    """A block that can forget its activations and make them again in the backward pass.

    Attributes:
        recompute: whether it does: a third more work for a fraction of the memory.
    """

    recompute = False

    def forward(self, *inputs: Tensor | Cache | None) -> Tensor:
        """What `compute` makes of the same inputs."""
        if self.recompute and torch.is_grad_enabled():
            out: Tensor = checkpoint(self.compute, *inputs, use_reentrant=False)
            return out
        return self.compute(*inputs)

    def compute(self, *inputs: Tensor | Cache | None) -> Tensor:
        """The block's own work."""
        raise NotImplementedError


def recompute(network: nn.Module) -> None:
    """Let all blocks of a network save memory."""
    for module in network.modules():
        if isinstance(module, Recomputing):
            module.recompute = True


class Block(Recomputing):
    """Attention and a gated MLP, each on a normalised residual stream.

    With a conditioning vector, scale, shift and gate come from it and start at zero (adaLN-zero,
    arXiv 2212.09748); without one the norms carry learned scales.

    Args:
        width: of the residual stream; a multiple of heads, width / heads even.
        heads: attention heads.
        hidden: width of the gated MLP; 8/3 of width, rounded up to a multiple of 64, if None.
        dropout: on the residual branches, in training.
        condition: width of the conditioning vector, None for none.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        hidden: int | None = None,
        dropout: float = 0.0,
        condition: int | None = None,
    ) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width {width} must be a multiple of 2 x heads = {2 * heads}.")
        hidden = hidden or math.ceil(width * 8 / 3 / 64) * 64
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.RMSNorm(width, elementwise_affine=condition is None)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm_q = nn.RMSNorm(width // heads)
        self.norm_k = nn.RMSNorm(width // heads)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width, elementwise_affine=condition is None)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.mlp_out = nn.Linear(hidden, width, bias=False)
        self.modulation = nn.Linear(condition, 6 * width) if condition else None

    def compute(  # type: ignore[override]
        self,
        x: Tensor,
        c: Tensor | None,
        angle: Tensor,
        together: Tensor | None,
        cache: Cache | None = None,
    ) -> Tensor:
        """X (B, L, W), c (B, condition), together (B, 1, L, L) bool, or None each -> (B, L, W).

        With a cache, x stands behind what the cache has read, and together is (B, 1, L, all).
        """
        if self.modulation is None or c is None:
            x = x + self._drop(self._attend(self.norm_attention(x), angle, together, cache))
            return x + self._drop(self._mlp(self.norm_mlp(x)))
        modulation: Tensor = self.modulation(c)[:, None]
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, dim=-1)
        h = self.norm_attention(x) * (1 + scale_a) + shift_a
        x = x + gate_a * self._drop(self._attend(h, angle, together, cache))
        h = self.norm_mlp(x) * (1 + scale_m) + shift_m
        return x + gate_m * self._drop(self._mlp(h))

    def _attend(
        self, x: Tensor, angle: Tensor, together: Tensor | None, cache: Cache | None
    ) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.norm_q(q.float()), angle), rotate(self.norm_k(k.float()), angle)
        q, k = q.to(v.dtype), k.to(v.dtype)
        if cache is not None:
            k, v = cache.extend(k, v)
        h = functional.scaled_dot_product_attention(q, k, v, attn_mask=together)
        out: Tensor = self.attention_out(h.transpose(1, 2).flatten(2))
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.mlp_out(functional.silu(gate) * up)
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training) if self.dropout else x


def initialise(blocks: nn.ModuleList) -> None:
    """Start a stack of `Block`s: variance kept through each matrix, no modulation yet."""
    for name, parameter in blocks.named_parameters():
        if "modulation" in name:
            nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            std = parameter.shape[1] ** -0.5
            if name.endswith(("attention_out.weight", "mlp_out.weight")):
                std /= math.sqrt(2 * len(blocks))  # the residual stream does not grow with depth
            nn.init.normal_(parameter, std=std)
