"""A U-Net over pixels: residual blocks at one or more resolutions, a transformer in the middle."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdcore.backbones.layers import (
    BACKBONES,
    Block,
    Conditioning,
    Conv,
    Recomputing,
    initialise,
    rotary_angle,
)


class ResidualBlock(Recomputing):
    """Two convolutions beside a skip; the condition scales and shifts between them."""

    def __init__(self, inputs: int, outputs: int, *, dropout: float, condition: int | None) -> None:
        super().__init__()
        self.dropout = dropout
        self.norm_in = _norm(inputs)
        self.conv_in = Conv(inputs, outputs)
        self.norm_out = _norm(outputs)
        self.conv_out = Conv(outputs, outputs)
        self.skip = Conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        self.modulation = nn.Linear(condition, 2 * outputs) if condition else None
        nn.init.zeros_(self.conv_out.weight)
        if self.modulation is not None:
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def compute(self, x: Tensor, c: Tensor | None) -> Tensor:  # type: ignore[override]
        """(B, inputs, H, W), (B, condition) or None -> (B, outputs, H, W)."""
        h = self.norm_out(self.conv_in(functional.silu(self.norm_in(x))))
        if self.modulation is not None:
            scale, shift = self.modulation(c)[:, :, None, None].chunk(2, dim=1)
            h = h * (1 + scale) + shift
        h = functional.silu(h)
        if self.dropout:
            h = functional.dropout(h, self.dropout, self.training)
        out: Tensor = self.skip(x) + self.conv_out(h)
        return out


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(channels // 4, 32), channels)


class Middle(nn.Module):
    """Transformer blocks over the patches of a feature map (arXiv 2212.09748), added to it."""

    def __init__(
        self,
        channels: int,
        *,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        dropout: float,
        condition: int | None,
    ) -> None:
        super().__init__()
        if width % (4 * heads):
            raise ValueError(
                f"middle_width {width} must be a multiple of 4 x middle_heads = {4 * heads}."
            )
        self.patch = patch
        self.head_width = width // heads
        self.enter = Conv(channels, width, patch, stride=patch)
        self.blocks = nn.ModuleList(
            Block(width, heads, dropout=dropout, condition=condition) for _ in range(depth)
        )
        initialise(self.blocks)
        self.norm = nn.RMSNorm(width)
        self.leave = nn.Linear(width, channels * patch * patch)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """(B, channels, H, W), (B, condition) or None -> (B, channels, H, W)."""
        h = self.enter(x)
        rows, columns = h.shape[-2:]
        angle = torch.cat(
            [
                rotary_angle(rows, self.head_width // 2, x.device).repeat_interleave(columns, 0),
                rotary_angle(columns, self.head_width // 2, x.device).repeat(rows, 1),
            ],
            dim=-1,
        )
        h = h.flatten(2).mT.float()
        for block in self.blocks:
            h = block(h, c, angle, None)
        h = self.leave(self.norm(h)).mT.unflatten(2, (rows, columns))
        return x + functional.pixel_shuffle(h, self.patch)


class Bottom(nn.Module):
    """The lowest resolution: the transformer between two residual blocks."""

    def __init__(
        self, channels: int, middle: Middle, *, dropout: float, condition: int | None
    ) -> None:
        super().__init__()
        self.first = ResidualBlock(channels, channels, dropout=dropout, condition=condition)
        self.middle = middle
        self.last = ResidualBlock(channels, channels, dropout=dropout, condition=condition)

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """(B, channels, H, W), (B, condition) or None -> (B, channels, H, W)."""
        out: Tensor = self.last(self.middle(self.first(x, c), c), c)
        return out


class Halved(nn.Module):
    """What works at half the resolution, seen from the full one; added to what came in."""

    def __init__(self, channels: int, inner_channels: int, inner: nn.Module) -> None:
        super().__init__()
        self.shrink = Conv(channels, inner_channels, 2, stride=2)
        self.inner = inner
        self.grow = Conv(inner_channels, 4 * channels, 1)

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """(B, channels, H, W), (B, condition) or None -> (B, channels, H, W)."""
        return x + functional.pixel_shuffle(self.grow(self.inner(self.shrink(x), c)), 2)


class Level(nn.Module):
    """One resolution: blocks on the way down, what lies below, blocks on the way up with skips."""

    def __init__(
        self,
        channels: int,
        blocks: int,
        below: nn.Module,
        *,
        dropout: float,
        condition: int | None,
    ) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            ResidualBlock(channels, channels, dropout=dropout, condition=condition)
            for _ in range(blocks)
        )
        self.below = below
        self.up = nn.ModuleList(
            ResidualBlock(2 * channels, channels, dropout=dropout, condition=condition)
            for _ in range(blocks + 1)
        )

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """(B, channels, H, W), (B, condition) or None -> (B, channels, H, W)."""
        skips = [x]
        for block in self.down:
            skips.append(block(skips[-1], c))
        x = self.below(skips[-1], c)
        for block in self.up:
            x = block(torch.cat([x, skips.pop()], dim=1), c)
        return x


@BACKBONES.register("unet")
class UNet(nn.Module):
    """Residual U-Net over the pixels of an image; a Denoiser.

    One width and no down-sampling is the paper's network for CIFAR-10; several widths halve the
    image between them; a deep middle is the paper's DiT for ImageNet 64.

    Args:
        vocab_size: V; the embedding has V + 1 rows, the last for the mask.
        length: L = height * width * channels.
        shape: (height, width, channels) of the image; the token of channel k of pixel (i, j) is
            the (i * width + j) * channels + k th.
        embedding: width of a token's embedding, of which a pixel has `channels`.
        widths: channels of the feature maps at each resolution, each half of the one before.
        blocks: residual blocks on the way down at each resolution.
        middle_depth: transformer blocks at the lowest resolution.
        middle_width: their width; the last of `widths` if None.
        middle_heads: their attention heads.
        middle_patch: side of the patches that they see as one token.
        dropout: in training.
        time_conditioned: whether the logits depend on t.
        condition_width: of the conditioning vector; 4 times the first of `widths` if None.
        num_classes: number of class labels, 0 for none.

    Raises:
        ValueError: the sizes do not fit together.
    """

    def __init__(
        self,
        vocab_size: int,
        length: int,
        *,
        shape: Sequence[int],
        embedding: int = 32,
        widths: Sequence[int] = (64, 128),
        blocks: Sequence[int] = (2, 2),
        middle_depth: int = 1,
        middle_width: int | None = None,
        middle_heads: int = 4,
        middle_patch: int = 1,
        dropout: float = 0.0,
        time_conditioned: bool = False,
        condition_width: int | None = None,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        if len(shape) != 3:
            raise ValueError("a U-Net reads images; use a codec of images or another backbone.")
        height, width, channels = shape
        if height * width * channels != length:
            raise ValueError(f"shape {tuple(shape)} has not the codec's {length} tokens.")
        if len(widths) != len(blocks) or not widths:
            raise ValueError(
                f"{len(widths)} widths and {len(blocks)} blocks; give one of each a resolution."
            )
        cell = 2 ** (len(widths) - 1) * middle_patch
        if height % cell or width % cell:
            raise ValueError(
                f"an image of {height}x{width} cannot be cut into cells of {cell}; "
                "choose fewer widths or a smaller middle_patch."
            )
        self.shape = (height, width, channels)
        self.time_conditioned = time_conditioned
        c = (condition_width or 4 * widths[0]) if time_conditioned or num_classes else None
        self.embedding = nn.Embedding(vocab_size + 1, embedding)
        self.conditioning = (
            Conditioning(c, time_conditioned=time_conditioned, num_classes=num_classes)
            if c
            else None
        )
        self.enter = Conv(channels * embedding, widths[0])
        middle = Middle(
            widths[-1],
            patch=middle_patch,
            width=middle_width or widths[-1],
            depth=middle_depth,
            heads=middle_heads,
            dropout=dropout,
            condition=c,
        )
        inner: nn.Module = Bottom(widths[-1], middle, dropout=dropout, condition=c)
        for index in reversed(range(len(widths))):
            inner = Level(widths[index], blocks[index], inner, dropout=dropout, condition=c)
            if index:
                inner = Halved(widths[index - 1], widths[index], inner)
        self.levels = inner
        self.norm = _norm(widths[0])
        self.leave = Conv(widths[0], channels * embedding, 1)
        self.norm_token = nn.RMSNorm(embedding)
        self.head = nn.Linear(embedding, vocab_size)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
        head: bool = True,
    ) -> Tensor:
        """Logits over the V clean tokens.

        Args:
            z_t: (B, L) long in [0, V].
            t: (B,) in [0, 1].
            condition: (B,) long class labels, or None.
            select: (B, L) bool with N trues, or None for all positions.
            head: False gives what `self.head` reads, its width in the place of V.

        Returns:
            (N, V) in the order of select's trues, or (B, L, V).

        Raises:
            ValueError: the tokens are not those of a whole image.
        """
        height, width, channels = self.shape
        if z_t.shape[1] != height * width * channels:
            raise ValueError(
                f"{z_t.shape[1]} tokens; this model reads whole images of "
                f"{height}x{width}x{channels}."
            )
        if self.conditioning is None and condition is not None:
            raise ValueError("this model has no classes; leave the label out.")
        c = None if self.conditioning is None else self.conditioning(t, condition)
        x = self.embedding(z_t).unflatten(1, (height, width, channels)).flatten(3)
        x = self.levels(self.enter(x.permute(0, 3, 1, 2)), c)
        x = self.leave(functional.silu(self.norm(x))).permute(0, 2, 3, 1)
        x = x.reshape(*z_t.shape, -1)
        x = x if select is None else x[select]
        x = functional.silu(self.norm_token(x.float()))
        logits: Tensor = self.head(x) if head else x
        return logits
