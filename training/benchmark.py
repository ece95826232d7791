"""Speed beside a plain reference: python -m training.benchmark [--steps T ...] [--batches B ...].

Each row is a ratio measured in one run on this machine. The reference is what one writes first:
float32, logits at every position in every step, a network call in every step. Both sides have the
same weights. Speed does not depend on what a model has learned, so the weights are random.
"""

import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mdcore.checkpoint import ModelConfig, build_model
from mdcore.diffusion import MD4
from mdcore.hardware import DeviceName, matmul_dtype, pick_device
from mdcore.sampling import SAMPLERS
from training.command import command

LENGTH = 256
SEED = 0


@dataclass(frozen=True)
class Arguments:
    """Print tables of speed against a plain reference."""

    steps: tuple[int, ...] = (64, 256, 1024)
    """Sampling steps to measure."""
    batches: tuple[int, ...] = (1, 8)
    """Batch sizes of sampling."""
    vocabularies: tuple[int, ...] = (4096, 50_257)
    """Vocabulary sizes."""
    width: int = 320
    """Of the backbone."""
    depth: int = 6
    """Of the backbone."""
    reference_steps: int = 16
    """Steps of the reference that are timed; all its steps cost the same, so the rest is scaled."""
    repeats: int = 3
    """Runs of our sampler, of which the median counts."""
    training_batch: int = 16
    """Examples in a training step."""
    compile: bool = False
    """Train with torch.compile, as training.train --compile does; the reference stays as it is."""
    device: DeviceName = "auto"
    """Where to compute."""


@dataclass(frozen=True)
class Shape:
    """A model to measure."""

    vocab_size: int
    width: int
    depth: int
    device: str

    def build(self) -> MD4:
        """The model with random weights, its matrix work in float32."""
        config = ModelConfig(
            codec={"name": "bpe", "vocab_size": self.vocab_size, "length": LENGTH},
            schedule={"name": "linear"},
            backbone={
                "name": "transformer",
                "width": self.width,
                "depth": self.depth,
                "heads": self.width // 64,
            },
        )
        torch.manual_seed(SEED)
        return build_model(config).to(self.device)


@torch.no_grad()
def reference_steps(model: MD4, z: Tensor, steps: int, timed: int) -> Tensor:
    """The first `timed` of `steps` ancestral steps as one writes them first."""
    generator = torch.Generator(z.device).manual_seed(SEED)
    for index in range(timed):
        t, s = 1 - index / steps, 1 - (index + 1) / steps
        times = torch.full((len(z),), t, device=z.device)
        p = model.denoiser(z, times).softmax(-1) * (t - s) / t
        stay = torch.full_like(p[..., :1], s / t)
        drawn = torch.multinomial(torch.cat([p, stay], -1).flatten(0, 1), 1, generator=generator)
        z = torch.where(z == model.mask_id, drawn.view_as(z), z)
    return z


def reference_loss(model: MD4, x: Tensor, generator: torch.Generator) -> Tensor:
    """The linear schedule's loss as one writes it first: logits at every position, float32."""
    t = torch.rand(len(x), 1, generator=generator, device=x.device).clamp(min=1e-4)
    masked = torch.rand(x.shape, generator=generator, device=x.device) < t
    logits = model.denoiser(torch.where(masked, model.mask_id, x), t.squeeze(-1))
    nats = functional.cross_entropy(logits.transpose(1, 2), x, reduction="none")
    return (nats * masked / t).mean()


def seconds(work: Callable[[], object], device: str, repeats: int = 1) -> float:
    """Median time of a piece of work, the device's queue emptied before and after."""
    times = []
    for _ in range(repeats):
        synchronise(device)
        start = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def synchronise(device: str) -> None:
    """Wait for a GPU to finish; a CPU never lags behind."""
    if device == "cuda":
        torch.cuda.synchronize()


def sampling_row(model: MD4, steps: int, batch: int, arguments: Arguments, device: str) -> str:
    """Time and calls of one sampling run, ours and the reference's."""
    z = torch.full((batch, LENGTH), model.mask_id, device=device)
    sampler = SAMPLERS.build({"name": "ancestral", "steps": steps})

    def ours() -> int:
        generator = torch.Generator().manual_seed(SEED)
        return max(step.nfe for step in sampler.trajectory(model, z, generator=generator))

    model.compute_dtype = matmul_dtype(torch.device(device))
    calls = ours()
    fast = seconds(ours, device, arguments.repeats)
    timed = min(steps, arguments.reference_steps)
    model.compute_dtype = torch.float32
    reference_steps(model, z, steps, 1)
    slow = seconds(lambda: reference_steps(model, z, steps, timed), device) * steps / timed
    return (
        f"| {model.vocab_size:,} | {batch} | {steps} | {calls} | {fast:.2f} | {steps} "
        f"| {slow:.2f} | **{slow / fast:.1f}x** |"
    )


def training_step(
    shape: Shape, batch: int, side: Literal["ours", "reference"], compiled: bool
) -> tuple[float, float]:
    """Tokens a second and peak memory in MiB of training steps in a process of their own."""
    model = shape.build()
    if side == "ours":
        model.compute_dtype = matmul_dtype(torch.device(shape.device))
        if compiled:
            model.denoiser.compile()
    generator = torch.Generator(shape.device).manual_seed(SEED)
    x = torch.randint(shape.vocab_size, (batch, LENGTH), generator=generator, device=shape.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=side == "ours")

    def step() -> None:
        loss = (
            model.loss(x, generator=generator)
            if side == "ours"
            else reference_loss(model, x, generator)
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(3):  # to compile and warm up
        step()
    rate = batch * LENGTH / seconds(step, shape.device, 5)
    if shape.device == "cuda":
        return rate, torch.cuda.max_memory_allocated() / 2**20
    return rate, peak_memory()


def peak_memory() -> float:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the parent, from which this process was forked
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def training_row(shape: Shape, batch: int, compiled: bool) -> str:
    """A training step, ours and the reference's, each in a fresh process for its peak memory."""
    context = multiprocessing.get_context("spawn")
    results = []
    for side in ("ours", "reference"):
        with context.Pool(1) as pool:
            results.append(pool.apply(training_step, (shape, batch, side, compiled)))
    (fast, small), (slow, large) = results
    return (
        f"| {shape.vocab_size:,} | {batch} | {fast:,.0f} | {slow:,.0f} | **{fast / slow:.1f}x** "
        f"| {small:,.0f} | {large:,.0f} | {large / small:.1f}x |"
    )


def run(arguments: Arguments) -> None:
    """Measure and print the tables."""
    device = pick_device(arguments.device)
    shapes = [
        Shape(v, arguments.width, arguments.depth, device.type) for v in arguments.vocabularies
    ]
    print(
        f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}; matrix work "
        f"in {matmul_dtype(device)}, the reference's in float32. Transformer {arguments.depth} x "
        f"{arguments.width}, {LENGTH} tokens. Reference: {arguments.reference_steps} steps timed.\n"
    )
    print("| vocabulary | batch | steps | calls | seconds | reference calls | seconds | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for shape in shapes:
        model = shape.build().eval()
        for batch in arguments.batches:
            for steps in arguments.steps:
                print(sampling_row(model, steps, batch, arguments, device.type), flush=True)
    print("\n| vocabulary | batch | tokens/s | reference | ratio | peak MiB | reference | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for shape in shapes:
        batch = max(1, math.floor(arguments.training_batch * 4096 / max(4096, shape.vocab_size)))
        print(training_row(shape, batch, arguments.compile), flush=True)


if __name__ == "__main__":
    command("training.benchmark", Arguments, run)
