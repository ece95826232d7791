"""How long a text takes: written left to right, a token a call, and by masked diffusion."""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from mdcore.objectives import Model
from mdcore.sampling import SAMPLERS
from training.drawing import fill
from training.subjects import SEED, Subject, seconds

HEAD = """| model | batch | steps | calls | seconds | tokens/s | of the causal model's time |
|---|---|---|---|---|---|---|"""


def writing(
    subject: Subject, batches: Sequence[int], steps: Sequence[int], repeats: int
) -> Iterator[str]:
    """The lines of a table: a causal model, then masked diffusion in so many steps.

    Both have random weights and the same network but for what a position sees. The causal one keeps
    keys and values, so that a call reads one new token a text; masked diffusion reads all of them.
    """
    usual = dataclasses.replace(subject.config, objective={"name": "autoregressive"})
    causal = Subject(usual, subject.device).build(drawn_from=True)
    masked = subject.build(drawn_from=True)
    yield HEAD
    for batch in batches:
        z = torch.full((batch, subject.length), masked.mask_id, device=subject.device)
        first = None
        for name, model, count in [
            ("autoregressive", causal, z.shape[1]),
            *(("MD4", masked, count) for count in steps),
        ]:
            calls, took = timed(model, z, count, repeats)
            first = first or took
            yield (
                f"| {name} | {batch} | {count} | {calls} | {took:.2f} | {z.numel() / took:,.0f} "
                f"| {took / first:.2f} |"
            )


def timed(model: Model, z: Tensor, steps: int, repeats: int) -> tuple[int, float]:
    """Network calls and seconds of filling z (B, L) in; a causal model takes a call a token."""
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    def draw() -> None:
        fill(model, sampler, z, generator=torch.Generator().manual_seed(SEED))

    sampler = SAMPLERS.build({"name": "ancestral", "steps": steps})
    handle = model.denoiser.register_forward_pre_hook(count)
    draw()
    handle.remove()
    return calls, seconds(draw, z.device.type, repeats)
