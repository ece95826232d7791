"""The training loop: a generator of records.

Every random number of a step is a function of (seed, step), so that a run that was stopped and
resumed is, bit for bit, the run that was never stopped.
"""

import math
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdcore.codecs import Codec, TextCodec
from mdcore.evaluation import Estimate, bits_per_token
from mdcore.objectives import Model
from training.config import TrainConfig
from training.data import Examples
from training.prepare import prepare
from training.run import STATE_FILE, Run, start


@dataclass(frozen=True, kw_only=True)
class Record:
    """What happened up to a step.

    Attributes:
        step: optimizer steps done.
        loss: nats per token, mean since the last record.
        bits_per_token: the same in bits.
        tokens_per_second: since the last record.
        learning_rate_factor: of the peak learning rates.
        validation: what `figures` gives, where it was measured at this step; else {}.
        model, codec: the averaged model, to draw from.
    """

    step: int
    loss: float
    bits_per_token: float
    tokens_per_second: float
    learning_rate_factor: float
    validation: Mapping[str, float]
    model: Model
    codec: Codec[Any]


def train(
    config: TrainConfig, *, device: torch.device, resume: bool = False
) -> Generator[Record, None, None]:
    """Train a model; checkpoints are written to config.out on the way.

    Args:
        config: the run.
        device: where to train.
        resume: go on from config.out's last checkpoint.

    Yields:
        A record every config.log_every steps and at the end. Closing the generator between two
        records saves a checkpoint.

    Raises:
        ValueError: data, config or checkpoint cannot be used; says why.
        FloatingPointError: the loss is not finite; the last checkpoint is kept.
    """
    _check_folder(config.out, resume=resume)
    prepared = prepare(config, resume=resume)
    config, codec = prepared.config, prepared.codec
    run = start(config, codec, device)
    if resume:
        run.resume()
    losses: list[Tensor] = []
    saved_at = logged_at = time.monotonic()
    try:
        while run.step < config.steps:
            losses.append(update(run, prepared.batches.batch(run.step).to(device)))
            if run.step % config.log_every and run.step < config.steps:
                continue
            loss = torch.stack(losses).mean().item()
            _check_finite(loss, run)
            rate = len(losses) * config.batch_size * codec.length / (time.monotonic() - logged_at)
            due = _due(run, config.evaluate_every)
            metrics = evaluate(run, prepared.validation, device) if due else {}
            overdue = time.monotonic() - saved_at > 60 * config.checkpoint_minutes
            if metrics or overdue or _due(run, config.checkpoint_every):
                run.save(metrics)
                saved_at = time.monotonic()
            losses.clear()
            yield Record(
                step=run.step,
                loss=loss,
                bits_per_token=loss / math.log(2),
                tokens_per_second=rate,
                learning_rate_factor=learning_rate_factor(config, run.step),
                validation=metrics,
                model=run.ema.model,
                codec=codec,
            )
            logged_at = time.monotonic()
    except GeneratorExit:
        run.save({})
        raise


def _check_folder(out: Path, *, resume: bool) -> None:
    """Make the folder; neither lose a run that is there nor resume one that is not."""
    begun = (out / STATE_FILE).exists()
    if resume and not begun:
        raise ValueError(f"{out} holds no run, so there is nothing to resume; omit --resume.")
    if begun and not resume:
        raise ValueError(f"{out} holds a run; go on with --resume, or choose another --out.")
    out.mkdir(parents=True, exist_ok=True)


def _due(run: Run, every: int) -> bool:
    """Whether a multiple of `every` was passed since the last record, or the run is over."""
    return run.step % every < run.config.log_every or run.step == run.config.steps


def _check_finite(loss: float, run: Run) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The loss is {loss} at step {run.step}, learning rate factor "
            f"{learning_rate_factor(run.config, run.step):.3g}. The last good checkpoint is in "
            f"{run.config.out}; lower --learning-rate and start anew, or resume from it."
        )


def update(run: Run, batch: Examples) -> Tensor:
    """One optimizer step on a batch; returns its loss, () nats per token."""
    config, device = run.config, batch.x.device
    seed = (config.seed << 32) + run.step
    torch.manual_seed(seed)
    generator = torch.Generator(device).manual_seed(seed)
    condition = _drop_labels(batch.condition, config, generator)
    total = torch.zeros((), dtype=torch.float64, device=device)
    for rows in torch.arange(len(batch.x), device=device).chunk(config.accumulation):
        part = Examples(batch.x, condition).take(rows)
        loss = run.model.loss(*part, generator=generator) / config.accumulation
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    run.optimizer.step(learning_rate_factor(config, run.step))
    run.step += 1
    run.ema.update(run.model, run.step)
    return total


def _drop_labels(
    condition: Tensor | None, config: TrainConfig, generator: torch.Generator
) -> Tensor | None:
    """The labels (B,), some of them replaced by the label that stands for "no class"."""
    if condition is None:
        return None
    chance = torch.rand(condition.shape, generator=generator, device=condition.device)
    return torch.where(chance < config.label_dropout, config.model.num_classes, condition)


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def evaluate(run: Run, validation: Examples, device: torch.device) -> dict[str, float]:
    """Figures of the averaged model on validation examples, each time with the same noise."""
    count = min(run.config.evaluation_examples, len(validation.x))
    chosen = validation.take(torch.linspace(0, len(validation.x) - 1, count).long())
    x, condition = chosen.to(device)
    per_token = bits_per_token(
        run.ema.model,
        x,
        condition,
        draws=run.config.evaluation_draws,
        generator=torch.Generator(device).manual_seed(0),
    )
    return figures(per_token, chosen.x, run.codec)


def figures(per_token: Estimate, x: Tensor, codec: Codec[Any]) -> dict[str, float]:
    """An estimate on examples (n, L) in bits per token and, for text, in bits per character."""
    measured = {
        "bits_per_token": per_token.mean,
        "standard_error": per_token.standard_error,
        "tokens": x.numel(),
    }
    if not isinstance(codec, TextCodec):
        return measured
    characters = sum(len(codec.decode(window)) for window in x)
    per_character = per_token.scaled(x.numel() / characters)
    return measured | {
        "bits_per_character": per_character.mean,
        "bits_per_character_standard_error": per_character.standard_error,
        "characters": characters,
    }
