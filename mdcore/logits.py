"""A denoiser's logits: in float32, and a few at a time where a large vocabulary makes them many."""

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK = 2**25
"""Logits that are held at once where they are only read: 128 MiB in float32."""


def float32_logits(
    denoiser: nn.Module,
    compute_dtype: torch.dtype,
    z_t: Tensor,
    t: Tensor,
    condition: Tensor | None = None,
    *,
    select: Tensor | None = None,
    **options: object,
) -> Tensor:
    """A Denoiser's logits in float32, its matrix work done in `compute_dtype`.

    Options that only some denoisers have, as `caches`, go to it as they are.
    """
    with _matrix_work(compute_dtype, z_t):
        logits: Tensor = denoiser(z_t, t.float(), condition, select=select, **options)
    return logits.float()


def read_logits(
    read: Callable[..., Tensor],
    rows: tuple[Tensor, ...],
    denoiser: nn.Module,
    compute_dtype: torch.dtype,
    z_t: Tensor,
    t: Tensor,
    condition: Tensor | None = None,
    *,
    select: Tensor,
) -> Tensor:
    """What a function reads off a Denoiser's logits, which never stand in memory all at once.

    If there are more than CHUNK of them, the head works on a part of the positions after the
    other, and again in the backward pass: for a vocabulary of 50,257 the logits and their gradient
    would take more memory than all the rest. A denoiser without a `head` gives them all.

    Args:
        read: logits (n, V) float32 and the same n of each of `rows` -> (n,).
        rows: tensors (N, ...), a row for each selected position.
        denoiser: a Denoiser; one with a `head` can leave it to the caller (`head=False`).
        compute_dtype: of its matrix work.
        z_t: (B, L) long in [0, V].
        t: (B,) in [0, 1].
        condition: (B,) long, or None.
        select: (B, L) bool with N trues.

    Returns:
        (N,).
    """
    head = cast(nn.Linear | None, getattr(denoiser, "head", None))
    size = len(rows[0]) if head is None else max(1, CHUNK // head.out_features)
    if head is None or len(rows[0]) <= size:
        logits = float32_logits(denoiser, compute_dtype, z_t, t, condition, select=select)
        return read(logits, *rows)
    with _matrix_work(compute_dtype, z_t):
        hidden: Tensor = denoiser(z_t, t.float(), condition, select=select, head=False)

    def part(hidden: Tensor, *rows: Tensor) -> Tensor:
        with _matrix_work(compute_dtype, z_t):
            logits = head(hidden)
        return read(logits.float(), *rows)

    parts = zip(*(torch.split(tensor, size) for tensor in (hidden, *rows)), strict=True)
    return torch.cat([checkpoint(part, *each, use_reentrant=False) for each in parts])


def _matrix_work(dtype: torch.dtype, where: Tensor) -> torch.autocast:
    lower = dtype != torch.float32
    return torch.autocast(where.device.type, dtype=dtype if lower else None, enabled=lower)
