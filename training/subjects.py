"""What a benchmark measures: models with random weights, a plain reference, time and memory."""

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

from mdcore.backbones.layers import recompute
from mdcore.checkpoint import ModelConfig, build_model
from mdcore.codecs import CODECS, Codec
from mdcore.diffusion import MD4
from mdcore.hardware import matmul_dtype
from mdcore.objectives import freeze

LENGTH = 256
SEED = 0


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

    def build(self, *, drawn_from: bool = False) -> MD4:
        """The model with random weights; its matrix work is in float32 unless it is drawn from."""
        torch.manual_seed(SEED)
        model = cast(MD4, build_model(self.config)).to(self.device)
        if drawn_from:
            model.eval().compute_dtype = matmul_dtype(torch.device(self.device))
            freeze(model)
        return model


def text_model(vocab_size: int, width: int, depth: int, length: int = LENGTH) -> ModelConfig:
    """A transformer over tokens, its heads 64 wide."""
    return ModelConfig(
        codec={"name": "bpe", "vocab_size": vocab_size, "length": length},
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


Side = Literal["ours", "reference"]


@dataclass(frozen=True)
class Options:
    """How training steps are measured.

    Attributes:
        compile, recompute: of our side, as training.train has them.
        warm_up: steps before the clock starts: to compile, and to make the optimizer's state.
        steps: that are timed.
    """

    compile: bool = False
    recompute: bool = False
    warm_up: int = 3
    steps: int = 5


def training_apart(
    subject: Subject, batch: int, side: Side, options: Options
) -> tuple[float, float]:
    """As `training_step`, in a process of its own, whose peak memory is this step's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(training_step, (subject, batch, side, options))


def training_step(
    subject: Subject, batch: int, side: Side, options: Options
) -> tuple[float, float]:
    """Examples a second and peak memory in MiB of training steps in this process."""
    model = subject.build()
    if side == "ours":
        model.compute_dtype = matmul_dtype(torch.device(subject.device))
        if options.recompute:
            recompute(model.denoiser)
        if options.compile:
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

    for _ in range(options.warm_up):
        step()
    rate = batch / seconds(step, subject.device, options.steps)
    if subject.device == "cuda":
        return rate, torch.cuda.max_memory_allocated() / 2**20
    return rate, peak_memory()


def peak_memory() -> float:
    """The most memory that this process has held, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss would count the parent, from which this process was forked
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
