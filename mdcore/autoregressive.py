"""The causal baseline: the same network reads left to right, and its likelihood is exact."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mdcore.draws import BatchGenerator, Generators, inverse_cdf, uniform
from mdcore.filters import Filter
from mdcore.logits import float32_logits, read_logits


class Autoregressive(nn.Module):
    """p(x) = prod_l p(x_l | x_1 ... x_{l-1}), by a causal network that reads x one place late.

    What stands for the mask in MD4 stands for the start here, so that both have the same weights.

    Args:
        denoiser: an nn.Module that is a Denoiser and `causal`; its time is always 0.
        vocab_size: V.

    Raises:
        ValueError: the network is not causal.
    """

    exact = True
    """Whether `loss` is the likelihood itself, the same in each call."""

    def __init__(self, denoiser: nn.Module, vocab_size: int) -> None:
        super().__init__()
        if not getattr(denoiser, "causal", False):
            raise ValueError(
                f"The autoregressive objective needs a causal backbone; {type(denoiser).__name__} "
                "looks at all tokens. Choose the backbone transformer."
            )
        self.denoiser = denoiser
        self.vocab_size = vocab_size
        self.compute_dtype = torch.float32

    @property
    def mask_id(self) -> int:
        """The token that stands for what is not written yet: V."""
        return self.vocab_size

    def forward(
        self, x: Tensor, condition: Tensor | None = None, *, select: Tensor | None = None
    ) -> Tensor:
        """Logits of each token given those before it, float32.

        Args:
            x: (B, L) long in [0, V]; what stands at a position does not change its own logits.
            condition: (B,) long, or None.
            select: (B, L) bool with N trues, or None.

        Returns:
            (N, V) at the selected positions, or (B, L, V).
        """
        late, t = self._late(x)
        return float32_logits(self.denoiser, self.compute_dtype, late, t, condition, select=select)

    def _late(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the network reads for x (B, L): the same one place late (B, L), and times (B,)."""
        start = torch.full_like(x[:, :1], self.mask_id)
        late = torch.cat([start, x[:, :-1]], dim=1)
        return late, torch.zeros(len(x), device=x.device)

    def nats(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """-log p(x), exact: (B, L) long in [0, V) -> (B,) float64."""
        late, t = self._late(x)
        nats = read_logits(
            lambda logits, x: functional.cross_entropy(logits, x, reduction="none"),
            (x.flatten(),),
            self.denoiser,
            self.compute_dtype,
            late,
            t,
            condition,
            select=torch.ones_like(x, dtype=torch.bool),
        )
        return nats.view(x.shape).double().sum(-1)

    def loss(
        self, x: Tensor, condition: Tensor | None = None, *, generator: BatchGenerator
    ) -> Tensor:
        """-log p(x) per token, to be minimised; called like the loss of MD4.

        Args:
            x: (B, L) long in [0, V).
            condition: (B,) long, or None.
            generator: not drawn from, there is no chance in it.

        Returns:
            () float64, nats per token.
        """
        return self.nats(x, condition).mean() / x.shape[1]

    @torch.no_grad()
    def write(
        self,
        z: Tensor,
        condition: Tensor | None = None,
        *,
        generator: Generators,
        filters: Sequence[Filter] = (),
    ) -> Tensor:
        """Draw a token at each mask, left to right, a network call for each place.

        A call reads what is new alone; of what came before, the keys and values are kept.

        Args:
            z: (B, L) long in [0, V]; tokens that are not the mask V stay. Those to the right of a
                mask do not influence it.
            condition: (B,) long, or None.
            generator: one for the batch, or one a row.
            filters: applied in order to the logits before a token is drawn.

        Returns:
            (B, L) long in [0, V).
        """
        u = uniform(z.shape, generator, z.device)
        masked = z == self.mask_id
        late, t = self._late(z)
        text = torch.cat([late, z[:, -1:]], dim=1)  # the start, then z
        caches, read = cast(Any, self.denoiser).new_caches(), 0
        for place in masked.any(0).nonzero().flatten().tolist():
            rows, new = masked[:, place], text[:, read : place + 1]
            here = torch.zeros_like(new, dtype=torch.bool)
            here[:, -1] = rows
            logits = float32_logits(
                self.denoiser, self.compute_dtype, new, t, condition, select=here, caches=caches
            )
            for change in filters:
                logits = change(logits)
            text[rows, place + 1] = inverse_cdf(logits, u[rows, place])
            read = place + 1
        return text[:, 1:]
