"""A bidirectional transformer: RoPE, normalised queries and keys, a gated MLP, adaLN-zero."""

import math

from torch import Tensor, nn
from torch.nn import functional

from mdcore.backbones.layers import BACKBONES, Conditioning, rotary_angle, rotate


class Block(nn.Module):
    """Attention and a gated MLP, each on a normalised residual stream.

    With a conditioning vector, scale, shift and gate come from it and start at zero (adaLN-zero,
    arXiv 2212.09748); without one the norms carry learned scales.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, dropout: float, conditional: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.norm_attention = nn.RMSNorm(width, elementwise_affine=not conditional)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.norm_q = nn.RMSNorm(width // heads)
        self.norm_k = nn.RMSNorm(width // heads)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.norm_mlp = nn.RMSNorm(width, elementwise_affine=not conditional)
        self.gate_up = nn.Linear(width, 2 * hidden, bias=False)
        self.mlp_out = nn.Linear(hidden, width, bias=False)
        self.modulation = nn.Linear(width, 6 * width) if conditional else None

    def forward(
        self, x: Tensor, c: Tensor | None, angle: Tensor, together: Tensor | None
    ) -> Tensor:
        """X (B, L, W), c (B, W) or None, together (B, 1, L, L) bool or None -> (B, L, W)."""
        if self.modulation is None or c is None:
            x = x + self._drop(self._attend(self.norm_attention(x), angle, together))
            return x + self._drop(self._mlp(self.norm_mlp(x)))
        modulation: Tensor = self.modulation(c)[:, None]
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = modulation.chunk(6, dim=-1)
        h = self.norm_attention(x) * (1 + scale_a) + shift_a
        x = x + gate_a * self._drop(self._attend(h, angle, together))
        h = self.norm_mlp(x) * (1 + scale_m) + shift_m
        return x + gate_m * self._drop(self._mlp(h))

    def _attend(self, x: Tensor, angle: Tensor, together: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = rotate(self.norm_q(q.float()), angle), rotate(self.norm_k(k.float()), angle)
        h = functional.scaled_dot_product_attention(
            q.to(v.dtype), k.to(v.dtype), v, attn_mask=together
        )
        out: Tensor = self.attention_out(h.transpose(1, 2).flatten(2))
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        out: Tensor = self.mlp_out(functional.silu(gate) * up)
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training) if self.dropout else x


@BACKBONES.register("transformer")
class Transformer(nn.Module):
    """Bidirectional transformer over flat tokens; a Denoiser.

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
    ) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width {width} must be a multiple of 2 x heads = {2 * heads}.")
        self.length = length
        self.time_conditioned = time_conditioned
        self.head_width = width // heads
        hidden = hidden or math.ceil(width * 8 / 3 / 64) * 64
        conditional = time_conditioned or num_classes > 0
        self.embedding = nn.Embedding(vocab_size + 1, width)
        self.conditioning = (
            Conditioning(width, time_conditioned=time_conditioned, num_classes=num_classes)
            if conditional
            else None
        )
        self.blocks = nn.ModuleList(
            Block(width, heads, hidden, dropout, conditional) for _ in range(depth)
        )
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, vocab_size)
        self._initialise(depth)

    def _initialise(self, depth: int) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            std = 1.0 if name == "embedding.weight" else parameter.shape[1] ** -0.5
            if name.endswith(("attention_out.weight", "mlp_out.weight")):
                std /= math.sqrt(2 * depth)  # so that the residual stream does not grow with depth
            nn.init.normal_(parameter, std=0.02 if name == "head.weight" else std)
        nn.init.zeros_(self.head.bias)
        for name, parameter in self.named_parameters():
            if ".modulation." in name:
                nn.init.zeros_(parameter)

    def forward(
        self,
        z_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        select: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Logits over the V clean tokens.

        Args:
            z_t: (B, L) long in [0, V], of any L up to the model's.
            t: (B,) in [0, 1].
            condition: (B,) long class labels, or None.
            select: (B, L) bool with N trues, or None for all positions.
            segments: (B, L) long, for several texts packed into one row: a token sees only those
                with its own number. RoPE is relative, so a packed text's logits are its own.

        Returns:
            (N, V) in the order of select's trues, or (B, L, V).

        Raises:
            ValueError: the sequence is longer than the model's length.
        """
        if z_t.shape[1] > self.length:
            raise ValueError(
                f"{z_t.shape[1]} tokens; this model reads {self.length}. Shorten the input."
            )
        if self.conditioning is None and condition is not None:
            raise ValueError("this model has no classes; leave the label out.")
        c = None if self.conditioning is None else self.conditioning(t, condition)
        angle = rotary_angle(z_t.shape[1], self.head_width, z_t.device)
        together = (
            None if segments is None else (segments[:, :, None] == segments[:, None])[:, None]
        )
        x = self.embedding(z_t)
        for block in self.blocks:
            x = block(x, c, angle, together)
        x = x if select is None else x[select]
        logits: Tensor = self.head(self.norm(x))
        return logits
