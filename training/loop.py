"""The training loop: a generator of records.

Every random number of a step is a function of (seed, step), so that a run that was stopped and
resumed is, bit for bit, the run that was never stopped.
"""

import math
import time
from collections.abc import Generator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdcore.codecs import Codec, TextCodec
from mdcore.draws import BatchGenerator, uniform
from mdcore.evaluation import Estimate, bits_per_token_draws, estimate
from mdcore.objectives import Model
from training.config import TrainConfig
from training.data import Examples, spread
from training.fsdp import clip
from training.prepare import prepare
from training.run import STATE_FILE, Run, read_state, start
from training.team import ALONE, Team


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
    config: TrainConfig, *, device: torch.device, resume: bool = False, team: Team = ALONE
) -> Generator[Record, None, None]:
    """Train a model; checkpoints are written to config.out on the way.

    Args:
        config: the run.
        device: where to train.
        resume: go on from config.out's last checkpoint.
        team: this process among those that train together; its leader writes the checkpoints.

    Yields:
        A record every config.log_every steps and at the end. Closing the generator between two
        records saves a checkpoint; a team closes its generators at the same record.

    Raises:
        ValueError: data, config or checkpoint cannot be used; says why.
        FloatingPointError: the loss or a weight is not finite; the last checkpoint is kept.
        OSError: nothing can be written to config.out; the last checkpoint is kept.
    """
    _check_shares(config, team)
    _check_folder(config.out, resume=resume)
    with team.leader_first():  # the others take the tokenizer that it has trained
        prepared = prepare(config, resume=resume or not team.leads, team=team)
    config, codec = prepared.config, prepared.codec
    run = start(config, codec, device, team)
    if resume:
        run.resume()
    else:
        run.save_state()  # from here on a killed run can be resumed
    losses: list[Tensor] = []
    saved_at = logged_at = time.monotonic()
    while run.step < config.steps:
        losses.append(update(run, prepared.batches.batch(run.step).to(device), team))
        if run.step % config.log_every and run.step < config.steps:
            continue
        loss = _mean(losses, run, team)
        rate = len(losses) * config.batch_size * codec.length / (time.monotonic() - logged_at)
        losses.clear()
        due = _due(run, config.evaluate_every)
        metrics = evaluate(run, prepared.validation, device, team) if due else {}
        try:  # told before it is saved: what is saved is never missing from the caller's log
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
        except GeneratorExit:
            _save(run, metrics, device)
            raise
        late = time.monotonic() - saved_at > 60 * config.checkpoint_minutes
        if metrics or team.any(late, device) or _due(run, config.checkpoint_every):
            _save(run, metrics, device)
            saved_at = time.monotonic()
        logged_at = time.monotonic()


def _check_shares(config: TrainConfig, team: Team) -> None:
    if config.batch_size % (team.size * config.accumulation):
        raise ValueError(
            f"batch_size {config.batch_size} must be a multiple of accumulation "
            f"{config.accumulation} times the {team.size} processes."
        )
    if config.shard and team.size == 1:
        raise ValueError(
            "A single process has nobody to share the model with; leave --shard out, or start "
            "several with torchrun --nproc-per-node N."
        )


def _check_folder(out: Path, *, resume: bool) -> None:
    """Make the folder; neither lose a run that is there nor resume one that is not."""
    state = out / STATE_FILE
    if resume and not state.exists():
        raise ValueError(f"{out} holds no run, so there is nothing to resume; omit --resume.")
    if not resume and state.exists() and read_state(state)[0]["step"]:
        raise ValueError(f"{out} holds a run; go on with --resume, or choose another --out.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            f"{out} cannot be made a folder ({error.strerror}); choose another --out."
        ) from error


def _due(run: Run, every: int) -> bool:
    """Whether a multiple of `every` was passed since the last record, or the run is over."""
    return run.step % every < run.config.log_every or run.step == run.config.steps


def _mean(losses: list[Tensor], run: Run, team: Team) -> float:
    """The mean of the last steps' losses; each of them is finite, or the run ends."""
    each = (team.total(torch.stack(losses)) / team.size).cpu()
    odd = (~each.isfinite()).nonzero().flatten().tolist()
    if odd:
        step = run.step - len(losses) + odd[0] + 1
        raise _diverged(f"The loss is {each[odd[0]].item()}", step, run)
    return each.mean().item()


def _save(run: Run, metrics: Mapping[str, float], device: torch.device) -> None:
    """Save what is finite: a loss may still be while the update that followed it was not."""
    spoiled = run.spoiled()
    if run.team.any(spoiled is not None, device):
        raise _diverged(f"{spoiled or 'a weight'} is not finite", run.step, run)
    run.save(metrics)


def _diverged(what: str, step: int, run: Run) -> FloatingPointError:
    rates = run.optimizer.rates(learning_rate_factor(run.config, step - 1))
    kept = f"step {run.saved} is in {run.config.out / 'last'}" if run.saved else "none was due yet"
    return FloatingPointError(
        f"{what} at step {step}, learning rate {' and '.join(f'{rate:.3g}' for rate in rates)}. "
        f"Last good checkpoint: {kept}. Resumed, the run would meet the same: start anew with a "
        "lower --learning-rate and another --out."
    )


def update(run: Run, batch: Examples, team: Team = ALONE) -> Tensor:
    """One optimizer step on a batch; returns the loss of this process's part, () nats per token."""
    config, device = run.config, batch.x.device
    seed = (config.seed << 32) + run.step
    torch.manual_seed(seed ^ team.rank << 56)  # of dropout: no two processes drop alike
    noise = team.noise(torch.Generator(device).manual_seed(seed))
    condition = _drop_labels(batch.condition, config, noise)
    total = torch.zeros((), dtype=torch.float64, device=device)
    parts = torch.arange(len(batch.x), device=device).chunk(config.accumulation)
    for index, rows in enumerate(parts, 1):
        with nullcontext() if index == len(parts) else team.apart(run.loss):
            part = Examples(batch.x, condition).take(rows)
            loss = run.loss(*part, noise) / config.accumulation
            loss.backward()
        total += loss.detach()
    clip(run.model.parameters(), config.clip)
    run.optimizer.step(learning_rate_factor(config, run.step))
    run.step += 1
    run.ema.update(run.model, run.step)
    return total


def _drop_labels(
    condition: Tensor | None, config: TrainConfig, noise: BatchGenerator
) -> Tensor | None:
    """The labels (B,), some of them replaced by the label that stands for "no class"."""
    if condition is None:
        return None
    chance = uniform(condition.shape, noise, condition.device)
    return torch.where(chance < config.label_dropout, config.model.num_classes, condition)


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def evaluate(
    run: Run, validation: Examples, device: torch.device, team: Team = ALONE
) -> dict[str, float]:
    """Figures of the averaged model on validation examples, each time with the same noise."""
    count = min(run.config.evaluation_examples, len(validation.x))
    if count > team.size:
        count -= count % team.size  # as many for each: a sharded model is called by all at once
    chosen = validation.take(spread(len(validation.x), count))
    own = chosen if count < team.size else chosen.take(slice(team.rank, None, team.size))
    x, condition = own.to(device)
    passes = bits_per_token_draws(
        run.ema.model,
        x,
        condition,
        draws=run.config.evaluation_draws,
        generator=torch.Generator(device).manual_seed(team.rank),
    )
    bits = torch.tensor([*passes, 1.0], dtype=torch.float64, device=device) * len(x)
    *sums, seen = team.total(bits).tolist()
    return figures(estimate([bits / seen for bits in sums]), chosen.x, run.codec)


def figures(per_token: Estimate, x: Tensor, codec: Codec[Any]) -> dict[str, float]:
    """An estimate on examples (n, L) in bits per token and, for text, in bits per character."""
    measured = {
        "bits_per_token": per_token.mean,
        "standard_error": per_token.standard_error,
        "tokens": x.numel(),
    }
    if not isinstance(codec, TextCodec):
        return measured
    end = -1 if codec.end_of_text is None else codec.end_of_text  # stands for no character
    characters = sum(len(codec.decode(window[window != end])) for window in x)
    per_character = per_token.scaled(x.numel() / characters)
    return measured | {
        "bits_per_character": per_character.mean,
        "bits_per_character_standard_error": per_character.standard_error,
        "characters": characters,
    }
