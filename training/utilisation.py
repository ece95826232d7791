"""What a machine is used for: training's share of its matrix rate, sampling's time elsewhere."""

import time
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from mdcore.checkpoint import ModelConfig, build_model
from mdcore.codecs import CODECS
from mdcore.hardware import matmul_dtype
from mdcore.sampling import SAMPLERS
from training.config import PRESETS
from training.subjects import SEED, Options, Subject, seconds, text_model, training_step

BATCH = 16
VOCAB_SIZE = 4096
H100 = 989e12
"""Multiply-adds count twice: the dense bfloat16 rate that the maker gives for an H100 SXM."""


def forward_flops(config: ModelConfig) -> int:
    """Floating-point operations that one example takes in a training step's forward pass.

    Matrix products, convolutions and attention of the whole network, and its head at the half of
    the positions that is masked on average. A training step takes three times as many.
    """
    codec = CODECS.build(config.codec)
    with torch.device("meta"):
        network = build_model(config).denoiser
        z_t = torch.zeros(1, codec.length, dtype=torch.long)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(z_t, torch.zeros(1), head=False)
    head = cast(nn.Linear, network.head)
    trunk: int = counter.get_total_flops()
    return trunk + codec.length * head.in_features * head.out_features


def matrix_rate(device: torch.device, size: int = 3072) -> float:
    """Floating-point operations a second in products of square matrices: the best of 10."""
    dtype = matmul_dtype(device)
    a = torch.randn(size, size, device=device).to(dtype)
    b = torch.randn(size, size, device=device).to(dtype)
    a @ b
    return 2 * size**3 / min(seconds(lambda: a @ b, device.type) for _ in range(10))


@torch.no_grad()
def outside_share(subject: Subject, batch: int, steps: int) -> float:
    """The share of a sampling run's time that is not spent in the network."""
    model = subject.build(drawn_from=True)
    inside = began = 0.0

    def before(module: nn.Module, inputs: object) -> None:
        nonlocal began
        began = time.perf_counter()

    def after(module: nn.Module, inputs: object, output: Tensor) -> None:
        nonlocal inside
        if output.is_cuda:
            torch.cuda.synchronize()
        inside += time.perf_counter() - began

    model.denoiser.register_forward_pre_hook(before)
    model.denoiser.register_forward_hook(after)
    sampler = SAMPLERS.build({"name": "ancestral", "steps": steps})
    z = torch.full((batch, subject.length), model.mask_id, device=subject.device)

    def draw() -> None:
        sampler(model, z, generator=torch.Generator().manual_seed(SEED))

    draw()
    inside = 0.0
    whole = seconds(draw, subject.device)
    return 1 - inside / whole


def utilisation(
    device: torch.device, widths: Sequence[int], depth: int, compiled: bool
) -> Iterator[str]:
    """The lines of the tables: each width's share, then the paper's presets on an H100."""
    rate = matrix_rate(device)
    yield f"Products of square matrices: {rate / 1e12:.3f} TFLOP/s in {matmul_dtype(device)}.\n"
    yield (
        "| width | training, tokens/s | TFLOP/s | of the matrix rate "
        "| sampling outside the network, batch 8 |"
    )
    yield "|---|---|---|---|---|"
    share = 0.0
    for width in widths:
        subject = Subject(text_model(VOCAB_SIZE, width, depth), device.type)
        examples, _ = training_step(subject, BATCH, "ours", Options(compile=compiled))
        used = 3 * forward_flops(subject.config) * examples
        share = used / rate
        outside = outside_share(subject, 8, 64)
        yield (
            f"| {width} | {examples * subject.length:,.0f} | {used / 1e12:.3f} | {share:.0%} "
            f"| {outside:.1%} |"
        )
    yield (
        f"\n| preset | parameters | PFLOP a step | days on one H100 at {share:.0%} of "
        f"{H100 / 1e12:.0f} TFLOP/s |"
    )
    yield "|---|---|---|---|"
    for name in ("text8", "openwebtext", "openwebtext-medium", "cifar10", "imagenet64"):
        config = PRESETS[name]
        with torch.device("meta"):
            count = sum(p.numel() for p in build_model(config.model).parameters())
        step = 3 * forward_flops(config.model) * config.batch_size
        days = step * config.steps / (share * H100) / 86_400
        yield f"| {name} | {count / 1e6:.0f}M | {step / 1e15:.2f} | {days:,.1f} |"
