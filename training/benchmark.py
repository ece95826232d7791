"""Speed beside a plain reference: python -m training.benchmark [--what speed|memory|...].

Each row is a ratio measured in one run on this machine. The reference is what one writes first:
float32, logits at every position in every step, a network call in every step. Both sides have the
same weights. Speed does not depend on what a model has learned, so the weights are random.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mdcore.diffusion import MD4
from mdcore.hardware import DeviceName, matmul_dtype, pick_device
from mdcore.sampling import SAMPLERS
from training.command import command
from training.config import PRESETS
from training.subjects import (
    LENGTH,
    SEED,
    Options,
    Subject,
    reference_steps,
    seconds,
    text_model,
    training_apart,
)
from training.utilisation import utilisation
from training.writing import writing


@dataclass(frozen=True)
class Arguments:
    """Print tables of speed against a plain reference, or of what the machine is used for."""

    what: Literal["speed", "memory", "utilisation", "writing"] = "speed"
    """Speed: sampling and training steps. Memory: a training step of 12 blocks, 768 wide, 4 x 1024
    tokens, 50,257 values. Utilisation: the share of the machine's matrix rate that training
    reaches, and of sampling's time outside the network. Writing: how long a text takes, beside the
    same network as a causal model."""
    images: bool = False
    """Measure the model of preset mnist, 28 x 28 tokens of 256 values, instead of text."""
    steps: tuple[int, ...] = ()
    """Sampling steps to measure; 64, 256 and 1024, or 784 for images, if not given; for writing 16,
    32, 64, 128 and 256."""
    batches: tuple[int, ...] = (1, 8)
    """Batch sizes of sampling."""
    vocabularies: tuple[int, ...] = (4096, 50_257)
    """Vocabulary sizes of text."""
    width: int | None = None
    """Of the backbone for text; 320, for memory 768."""
    widths: tuple[int, ...] = (256, 512, 768)
    """Of the backbone for text, for the utilisation."""
    depth: int | None = None
    """Of the backbone for text; 6, for memory 12."""
    length: int | None = None
    """Tokens of an example of text; 256, for memory 1024."""
    reference_steps: int = 16
    """Steps of the reference that are timed; all its steps cost the same, so the rest is scaled."""
    repeats: int = 3
    """Runs of our sampler, of which the median counts."""
    training_batch: int | None = None
    """Examples in a training step; 16 (fewer, the larger the vocabulary), for memory 4."""
    compile: bool = False
    """Train with torch.compile, as training.train --compile does; the reference stays as it is."""
    device: DeviceName = "auto"
    """Where to compute."""


def sampling_row(
    model: MD4, plain: MD4, length: int, steps: int, batch: int, arguments: Arguments
) -> str:
    """Time and calls of one sampling run, ours and the reference's, which takes the plain model."""
    device = next(plain.parameters()).device.type
    z = torch.full((batch, length), model.mask_id, device=device)
    sampler = SAMPLERS.build({"name": "ancestral", "steps": steps})

    def ours() -> int:
        generator = torch.Generator().manual_seed(SEED)
        return max(step.nfe for step in sampler.trajectory(model, z, generator=generator))

    calls = ours()
    fast = seconds(ours, device, arguments.repeats)
    timed = min(steps, arguments.reference_steps)
    reference_steps(plain, z, steps, 1)
    slow = seconds(lambda: reference_steps(plain, z, steps, timed), device) * steps / timed
    return (
        f"| {model.vocab_size:,} | {batch} | {steps} | {calls} | {fast:.2f} | {steps} "
        f"| {slow:.2f} | **{slow / fast:.1f}x** |"
    )


def training_row(subject: Subject, batch: int, options: Options, *, text: bool = True) -> str:
    """A training step, ours and the reference's, each in a fresh process for its peak memory."""
    fast, small = training_apart(subject, batch, "ours", options)
    slow, large = training_apart(subject, batch, "reference", options)
    if text:
        fast, slow = fast * subject.length, slow * subject.length
    return (
        f"| {subject.vocab_size:,} | {batch} | {fast:,.0f} | {slow:,.0f} | **{fast / slow:.1f}x** "
        f"| {small:,.0f} | {large:,.0f} | **{large / small:.1f}x** |"
    )


@torch.no_grad()
def head_line(subject: Subject, model: MD4) -> str:
    """What logits at every position would cost beside those of one step of 64."""
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
    width, depth, length = shape(arguments)
    return [Subject(text_model(v, width, depth, length), device) for v in arguments.vocabularies]


def shape(arguments: Arguments) -> tuple[int, int, int]:
    """Width, depth and length of the models of text."""
    usual = (768, 12, 1024) if arguments.what == "memory" else (320, 6, LENGTH)
    return (
        arguments.width or usual[0],
        arguments.depth or usual[1],
        arguments.length or usual[2],
    )


def speed(arguments: Arguments, device: str) -> None:
    """Print the tables of sampling and of training."""
    measured = subjects(arguments, device)
    text = not arguments.images
    print("| vocabulary | batch | steps | calls | seconds | reference calls | seconds | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for subject in measured:
        model, plain = subject.build(drawn_from=True), subject.build()
        for batch in arguments.batches:
            for steps in arguments.steps or (64, 256, 1024 if text else 784):
                row = sampling_row(model, plain, subject.length, steps, batch, arguments)
                print(row, flush=True)
        if not text:
            print(f"\n{head_line(subject, model)}")
    print_training_head("tokens" if text else "images")
    for subject in measured:
        batch = max(1, (arguments.training_batch or 16) * 4096 // max(4096, subject.vocab_size))
        options = Options(compile=arguments.compile)
        print(training_row(subject, batch, options, text=text), flush=True)


def print_training_head(unit: str) -> None:
    """The first lines of a table of training steps."""
    print(f"\n| vocabulary | batch | {unit}/s | reference | ratio | peak MiB | reference | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)


def memory(arguments: Arguments, device: str) -> None:
    """Print what a step of GPT-2's size takes: logits in chunks, activations made twice."""
    print_training_head("tokens")
    options = Options(compile=arguments.compile, recompute=True, warm_up=1, steps=1)
    for subject in subjects(arguments, device):
        print(training_row(subject, arguments.training_batch or 4, options), flush=True)


def run(arguments: Arguments) -> None:
    """Measure and print the tables."""
    device = pick_device(arguments.device)
    width, depth, length = shape(arguments)
    print(
        f"{device.type}, {torch.get_num_threads()} threads, torch {torch.__version__}; matrix work "
        f"in {matmul_dtype(device)}, the reference's in float32."
    )
    if arguments.what == "utilisation":
        for line in utilisation(device, arguments.widths, depth, arguments.compile):
            print(line, flush=True)
        return
    if arguments.what == "writing":
        vocab_size = arguments.vocabularies[0]
        subject = Subject(text_model(vocab_size, width, depth, length), device.type)
        steps = arguments.steps or (16, 32, 64, 128, 256)
        for line in writing(subject, arguments.batches, steps, arguments.repeats):
            print(line, flush=True)
        return
    what = f"Transformer {depth} x {width}, {length} tokens"
    print("U-Net of preset mnist, 784 tokens." if arguments.images else f"{what}.")
    if arguments.what == "memory":
        memory(arguments, device.type)
    else:
        print(f"Reference: {arguments.reference_steps} steps timed.\n")
        speed(arguments, device.type)


if __name__ == "__main__":
    command("training.benchmark", Arguments, run)
