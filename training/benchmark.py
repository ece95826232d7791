"""Speed beside a plain reference: python -m training.benchmark [--images] [--steps T ...].

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
from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional

from mdcore.checkpoint import ModelConfig, build_model
from mdcore.codecs import CODECS, Codec
from mdcore.diffusion import MD4
from mdcore.hardware import DeviceName, matmul_dtype, pick_device
from mdcore.sampling import SAMPLERS
from training.command import command
from training.config import PRESETS

LENGTH = 256
SEED = 0


@dataclass(frozen=True)
class Arguments:
    """Print tables of speed against a plain reference."""

    images: bool = False
    """Measure the model of preset mnist, 28 x 28 tokens of 256 values, instead of text."""
    steps: tuple[int, ...] = ()
    """Sampling steps to measure; 64, 256 and 1024, or 784 for images, if not given."""
    batches: tuple[int, ...] = (1, 8)
    """Batch sizes of sampling."""
    vocabularies: tuple[int, ...] = (4096, 50_257)
    """Vocabulary sizes of text."""
    width: int = 320
    """Of the backbone for text."""
    depth: int = 6
    """Of the backbone for text."""
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
class Subject:
    """A model to measure."""

    config: ModelConfig
    device: str

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.codec.vocab_size

    @property
    def length(self) -> int:
        """L."""
        return self.codec.length

    @property
    def codec(self) -> Codec[Any]:
        """For its sizes alone."""
        return CODECS.build(self.config.codec)

    def build(self) -> MD4:
        """The model with random weights, its matrix work in float32."""
        torch.manual_seed(SEED)
        return cast(MD4, build_model(self.config)).to(self.device)


def text_model(vocab_size: int, width: int, depth: int) -> ModelConfig:
    """A transformer over 256 tokens."""
    return ModelConfig(
        codec={"name": "bpe", "vocab_size": vocab_size, "length": LENGTH},
        schedule={"name": "linear"},
        backbone={"name": "transformer", "width": width, "depth": depth, "heads": width // 64},
    )


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


def sampling_row(subject: Subject, model: MD4, steps: int, batch: int, arguments: Arguments) -> str:
    """Time and calls of one sampling run, ours and the reference's."""
    device = subject.device
    z = torch.full((batch, subject.length), model.mask_id, device=device)
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
    subject: Subject, batch: int, side: Literal["ours", "reference"], compiled: bool
) -> tuple[float, float]:
    """Examples a second and peak memory in MiB of training steps in a process of their own."""
    model = subject.build()
    if side == "ours":
        model.compute_dtype = matmul_dtype(torch.device(subject.device))
        if compiled:
            model.denoiser.compile()
    generator = torch.Generator(subject.device).manual_seed(SEED)
    size = (batch, subject.length)
    x = torch.randint(subject.vocab_size, size, generator=generator, device=subject.device)
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
    rate = batch / seconds(step, subject.device, 5)
    if subject.device == "cuda":
        return rate, torch.cuda.max_memory_allocated() / 2**20
    return rate, peak_memory()


def peak_memory() -> float:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the parent, from which this process was forked
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def training_row(subject: Subject, batch: int, compiled: bool, *, text: bool) -> str:
    """A training step, ours and the reference's, each in a fresh process for its peak memory."""
    context = multiprocessing.get_context("spawn")
    results = []
    for side in ("ours", "reference"):
        with context.Pool(1) as pool:
            results.append(pool.apply(training_step, (subject, batch, side, compiled)))
    (fast, small), (slow, large) = results
    if text:
        fast, slow = fast * subject.length, slow * subject.length
    return (
        f"| {subject.vocab_size:,} | {batch} | {fast:,.0f} | {slow:,.0f} | **{fast / slow:.1f}x** "
        f"| {small:,.0f} | {large:,.0f} | {large / small:.1f}x |"
    )


@torch.no_grad()
def head_line(subject: Subject, model: MD4) -> str:
    """What logits at every position would cost beside those of one step of 64."""
    model.compute_dtype = matmul_dtype(torch.device(subject.device))
    z = torch.full((8, subject.length), model.mask_id, device=subject.device)
    t = torch.ones(8, device=subject.device)
    select = torch.zeros_like(z, dtype=torch.bool)
    select[:, ::64] = True

    def call(chosen: Tensor | None) -> float:
        return 1000 * seconds(lambda: model(z, t, select=chosen), subject.device, 9)

    everywhere, selected = call(None), call(select)
    logits = 4 * z.numel() * subject.vocab_size / 2**20
    return (
        f"A call at batch 8 takes {everywhere:.1f} ms with logits at every position "
        f"({logits:.1f} MiB of them), {selected:.1f} ms at every 64th ({logits / 64:.1f} MiB)."
    )


def subjects(arguments: Arguments, device: str) -> list[Subject]:
    """The models to measure."""
    if arguments.images:
        return [Subject(PRESETS["mnist"].model, device)]
    shape = (arguments.width, arguments.depth)
    return [Subject(text_model(v, *shape), device) for v in arguments.vocabularies]


def run(arguments: Arguments) -> None:
    """Measure and print the tables."""
    device = pick_device(arguments.device)
    measured = subjects(arguments, device.type)
    text = not arguments.images
    what = f"Transformer {arguments.depth} x {arguments.width}, {LENGTH} tokens"
    print(
        f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}; matrix work "
        f"in {matmul_dtype(device)}, the reference's in float32. "
        f"{what if text else 'U-Net of preset mnist, 784 tokens'}. "
        f"Reference: {arguments.reference_steps} steps timed.\n"
    )
    print("| vocabulary | batch | steps | calls | seconds | reference calls | seconds | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for subject in measured:
        model = subject.build().eval()
        for batch in arguments.batches:
            for steps in arguments.steps or (64, 256, 1024 if text else 784):
                print(sampling_row(subject, model, steps, batch, arguments), flush=True)
        if not text:
            print(f"\n{head_line(subject, model)}")
    unit = "tokens" if text else "images"
    print(f"\n| vocabulary | batch | {unit}/s | reference | ratio | peak MiB | reference | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for subject in measured:
        batch = max(1, math.floor(arguments.training_batch * 4096 / max(4096, subject.vocab_size)))
        print(training_row(subject, batch, arguments.compile, text=text), flush=True)


if __name__ == "__main__":
    command("training.benchmark", Arguments, run)
