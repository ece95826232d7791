"""A transformer: RoPE, normalised queries and keys, a gated MLP, adaLN-zero."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mdcore.backbones.layers import (
    BACKBONES,
    Block,
    Cache,
    Conditioning,
    initialise,
    rotary_angle,
)


@BACKBONES.register("transformer")
class Transformer(nn.Module):
    """Transformer over flat tokens, bidirectional unless causal; a Denoiser.

    Args:
        vocab_size: V; the embedding has V + 1 rows, the last for the mask.
        length: L, the longest sequence.
        width: of the residual stream; a multiple of heads, width / heads even.
        depth: number of blocks.
        heads: attention heads.
        hidden: width of the gated MLP; 8/3 of width, rounded up to a multiple of 64, if None.
        dropout: on the residual branches, in training.
        time_conditioned: whether the logits depend on t.
        num_classes: number of class labels, 0 for none.
        causal: whether a position sees itself and earlier ones only.
    """

    def __init__(
        self,
        vocab_size: int,
        length: int,
        *,
        width: int = 384,
        depth: int = 8,
        heads: int = 6,
        hidden: int | None = None,
        dropout: float = 0.0,
        time_conditioned: bool = False,
        num_classes: int = 0,
        causal: bool = False,
    ) -> None:
        super().__init__()
        self.causal = causal
        self.length = length
        self.time_conditioned = time_conditioned
        self.head_width = width // heads
        conditional = time_conditioned or num_classes > 0
        self.embedding = nn.Embedding(vocab_size + 1, width)
        self.conditioning = (
            Conditioning(width, time_conditioned=time_conditioned, num_classes=num_classes)
            if conditional
            else None
        )
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads,
                hidden=hidden,
                dropout=dropout,
                condition=width if conditional else None,
            )
            for _ in range(depth)
        )
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocab_size)
        initialise(self.blocks)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
        segments: Tensor | None = None,
        head: bool = True,
        caches: Sequence[Cache] | None = None,
    ) -> Tensor:
        """Logits over the V clean tokens.

        Args:
            z_t: (B, L) long in [0, V], of any L up to the model's.
            t: (B,) in [0, 1].
            condition: (B,) long class labels, or None.
            select: (B, L) bool with N trues, or None for all positions.
            segments: (B, L) long, for several texts packed into one row: a token sees only those
                with its own number. RoPE is relative, so a packed text's logits are its own.
            head: False gives what `self.head` reads, its width in the place of V.
            caches: of a causal model, from `new_caches`: z_t follows what they have read, and is
                read into them.

        Returns:
            (N, V) in the order of select's trues, or (B, L, V).

        Raises:
            ValueError: the sequence is longer than the model's length.
        """
        seen = caches[0].length if caches else 0
        length = seen + z_t.shape[1]
        if length > self.length:
            raise ValueError(f"{length} tokens; this model reads {self.length}. Shorten the input.")
        if self.conditioning is None and condition is not None:
            raise ValueError("this model has no classes; leave the label out.")
        c = None if self.conditioning is None else self.conditioning(t, condition)
        angle = rotary_angle(length, self.head_width, z_t.device)[seen:]
        together = self._together(z_t, segments, seen)
        x = self.embedding(z_t)
        own: Sequence[Cache | None] = caches or [None] * len(self.blocks)
        for block, cache in zip(self.blocks, own, strict=True):
            x = block(x, c, angle, together, cache)
        x = x if select is None else x[select]
        x = self.norm(x)
        logits: Tensor = self.head(x) if head else x
        return logits

    def new_caches(self) -> list[Cache]:
        """Empty caches, one for each block, of a text that is read bit by bit."""
        return [Cache() for _ in self.blocks]

    def _together(self, z_t: Tensor, segments: Tensor | None, seen: int) -> Tensor | None:
        """Which positions see which, bool, to (B, 1, L, seen + L); None: all see all."""
        together = None
        if segments is not None:
            together = (segments[:, :, None] == segments[:, None])[:, None]
        if not self.causal:
            return together
        length = z_t.shape[1]
        square = torch.ones(length, seen + length, dtype=torch.bool, device=z_t.device)
        earlier = square.tril(seen)
        return earlier if together is None else together & earlier
