"""The training loop: a generator of records.

Every random number of a step is a function of (seed, step), so that a run that was stopped and
resumed is, bit for bit, the run that was never stopped.
"""

import dataclasses
import json
import math
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from mdcore.checkpoint import Checkpoint, build_model, save_checkpoint
from mdcore.codecs import BPE, CODECS, TOKENIZER_FILE, TextCodec, read_tokenizer
from mdcore.diffusion import MD4
from mdcore.evaluation import Estimate, bits_per_token
from mdcore.hardware import matmul_dtype
from training.config import TrainConfig
from training.data import (
    DATASETS,
    Batches,
    Source,
    StreamedWindows,
    Windows,
    read_tokens,
    read_windows,
)
from training.ema import EMA
from training.optimizers import OPTIMIZERS, Optimizer

STATE_FILE = "state.safetensors"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What happened up to a step.

    Attributes:
        step: optimizer steps done.
        loss: nats per token, mean since the last record.
        bits_per_token: the same in bits.
        tokens_per_second: since the last record.
        learning_rate_factor: of the peak learning rates.
        validation: bits per token on the validation split, where it was measured at this step.
        characters_per_token: of the validation text; divides bits per token into per character.
        checkpoint: a folder that was written at this step.
        model, codec: the averaged model, to draw from.
    """

    step: int
    loss: float
    bits_per_token: float
    tokens_per_second: float
    learning_rate_factor: float
    validation: Estimate | None
    characters_per_token: float
    checkpoint: Path | None
    model: MD4
    codec: TextCodec


@dataclass
class Run:
    """Everything that changes while a run goes on."""

    config: TrainConfig
    codec: TextCodec
    model: MD4
    ema: EMA
    optimizer: Optimizer
    step: int = 0
    best: float = math.inf

    def save(self, estimate: Estimate | None, characters_per_token: float) -> Path:
        """Write DIR/state.safetensors, DIR/last and, if this is the best so far, DIR/best."""
        metrics = {}
        if estimate is not None:
            metrics = {
                "bits_per_token": estimate.mean,
                "standard_error": estimate.standard_error,
                "bits_per_character": estimate.mean / characters_per_token,
            }
        checkpoint = Checkpoint(
            model=self.ema.model,
            codec=self.codec,
            config=self.config.model,
            step=self.step,
            metrics=metrics,
            training=self.config.describe(),
        )
        out = self.config.out
        if estimate is not None and estimate.mean < self.best:
            self.best = estimate.mean
            save_checkpoint(out / "best", checkpoint, dtype=self.ema.model.compute_dtype)
        save_checkpoint(out / "last", checkpoint, dtype=self.ema.model.compute_dtype)
        self._save_state()
        return out / "last"

    def _save_state(self) -> None:
        """One file, put in place by one rename: it is either the old state or the new one."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.tensors().items()}
        facts = {"step": self.step, "best": self.best, "config": self.config.describe()}
        scratch = self.config.out / f".{STATE_FILE}"
        save_file(
            {k: v.contiguous() for k, v in tensors.items()}, scratch, {"run": json.dumps(facts)}
        )
        with scratch.open("rb") as file:
            os.fsync(file.fileno())
        scratch.replace(self.config.out / STATE_FILE)

    def resume(self) -> None:
        """Take over what `save` wrote.

        Raises:
            ValueError: there is nothing to resume, it is damaged, or it is of another run.
        """
        path = self.config.out / STATE_FILE
        if not path.exists():
            raise ValueError(
                f"{path} is missing, so there is nothing to resume; leave --resume out."
            )
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads(file.metadata()["run"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged ({error}); start anew without --resume."
            ) from error
        _check_same_run(facts["config"], json.loads(json.dumps(self.config.describe())), path)
        self.step, self.best = facts["step"], facts["best"]
        self.model.load_state_dict(_below(tensors, "model."))
        self.ema.model.load_state_dict(_below(tensors, "ema."))
        self.optimizer.load(_below(tensors, "optimizer."))


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }


def _check_same_run(stored: dict[str, object], asked: dict[str, object], path: Path) -> None:
    for key in asked:
        if stored.get(key) != asked[key]:
            raise ValueError(
                f"{path} was trained with {key} = {stored.get(key)!r}; now {key} = {asked[key]!r} "
                "is asked for. Resume with the options of the first call, or choose another --out."
            )


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
    config.out.mkdir(parents=True, exist_ok=True)
    source = DATASETS.build(config.data)
    codec = build_codec(config, source, resume=resume)
    config = with_vocabulary(config, codec)
    batches = open_batches(config, source, codec)
    validation = read_windows(source.documents("validation"), codec)
    characters_per_token = len(codec.decode(validation.flatten())) / validation.numel()
    run = start(config, codec, device)
    if resume:
        run.resume()
    losses: list[Tensor] = []
    saved_at = logged_at = time.monotonic()
    estimate = None
    try:
        while run.step < config.steps:
            losses.append(update(run, batches.batch(run.step).to(device)))
            done = run.step == config.steps
            if run.step % config.log_every and not done:
                continue
            loss = torch.stack(losses).mean().item()
            _check_finite(loss, run)
            elapsed = time.monotonic() - logged_at
            tokens = len(losses) * config.batch_size * codec.length
            measured = None
            if run.step % config.evaluate_every < config.log_every or done:
                measured = estimate = evaluate(run, validation, device)
            checkpoint = None
            overdue = time.monotonic() - saved_at > 60 * config.checkpoint_minutes
            if run.step % config.checkpoint_every < config.log_every or overdue or done:
                checkpoint = run.save(estimate, characters_per_token)
                saved_at = time.monotonic()
            losses.clear()
            yield Record(
                step=run.step,
                loss=loss,
                bits_per_token=loss / math.log(2),
                tokens_per_second=tokens / elapsed,
                learning_rate_factor=learning_rate_factor(config, run.step),
                validation=measured,
                characters_per_token=characters_per_token,
                checkpoint=checkpoint,
                model=run.ema.model,
                codec=codec,
            )
            logged_at = time.monotonic()
    except GeneratorExit:
        run.save(estimate, characters_per_token)
        raise


def _check_finite(loss: float, run: Run) -> None:
    if not math.isfinite(loss):
        raise FloatingPointError(
            f"The loss is {loss} at step {run.step}, learning rate factor "
            f"{learning_rate_factor(run.config, run.step):.3g}. The last good checkpoint is in "
            f"{run.config.out}; lower --learning-rate and start anew, or resume from it."
        )


def start(config: TrainConfig, codec: TextCodec, device: torch.device) -> Run:
    """A run before its first step."""
    # torch's initialisers and dropout draw from the global generator: here alone it is seeded.
    torch.manual_seed(config.seed)
    model = build_model(config.model).to(device)
    model.compute_dtype = matmul_dtype(device)
    ema = EMA(model, config.ema)
    optimizer = OPTIMIZERS.build(config.optimizer, model=model)
    if config.compile:
        model.denoiser.compile()
    return Run(config, codec, model, ema, optimizer)


def update(run: Run, x: Tensor) -> Tensor:
    """One optimizer step on a batch (B, L); returns its loss, () nats per token."""
    config = run.config
    seed = (config.seed << 32) + run.step
    torch.manual_seed(seed)
    generator = torch.Generator(x.device).manual_seed(seed)
    total = torch.zeros((), dtype=torch.float64, device=x.device)
    for part in x.chunk(config.accumulation):
        loss = run.model.loss(part, generator=generator) / config.accumulation
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    torch.nn.utils.clip_grad_norm_(run.model.parameters(), config.clip)
    run.optimizer.step(learning_rate_factor(config, run.step))
    run.step += 1
    run.ema.update(run.model, run.step)
    return total


def learning_rate_factor(config: TrainConfig, step: int) -> float:
    """Share of the peak learning rate at a step: linear warm-up, then cosine decay to zero."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return 0.5 * (1 + math.cos(math.pi * progress))


def evaluate(run: Run, validation: Tensor, device: torch.device) -> Estimate:
    """Bits per token of the averaged model on validation windows, each time with the same noise."""
    generator = torch.Generator(device).manual_seed(0)
    count = min(run.config.evaluation_examples, len(validation))
    spread = torch.linspace(0, len(validation) - 1, count).long()
    tokens = validation[spread].to(device)
    return bits_per_token(
        run.ema.model, tokens, draws=run.config.evaluation_draws, generator=generator
    )


def build_codec(config: TrainConfig, source: Source, *, resume: bool) -> TextCodec:
    """The codec of a run: a BPE comes from the run's folder, from `tokenizer`, or from training."""
    if CODECS[config.model.codec["name"]] is not BPE:
        return CODECS.build(config.model.codec)
    length, own = config.model.codec["length"], config.out / TOKENIZER_FILE
    if resume:
        return BPE.from_tokenizer(read_tokenizer(own), length)
    if config.tokenizer is None:
        codec = BPE.train(source.documents("train"), config.model.codec["vocab_size"], length)
    elif Path(config.tokenizer).exists():
        codec = BPE.from_tokenizer(read_tokenizer(Path(config.tokenizer)), length)
    else:
        codec = BPE.from_tokenizer(Tokenizer.from_pretrained(config.tokenizer), length)
    codec.save(config.out)
    return codec


def with_vocabulary(config: TrainConfig, codec: TextCodec) -> TrainConfig:
    """The config with the codec's real vocabulary: little text has fewer pairs to merge."""
    if not isinstance(codec, BPE):
        return config
    spec = {**config.model.codec, "vocab_size": codec.vocab_size}
    return dataclasses.replace(config, model=dataclasses.replace(config.model, codec=spec))


def open_batches(config: TrainConfig, source: Source, codec: TextCodec) -> Batches:
    """Training batches of a source."""
    if source.streamed:
        return StreamedWindows(lambda: source.documents("train"), codec, config.batch_size)
    tokens = read_tokens(source.documents("train"), codec)
    return Windows(tokens, length=codec.length, batch_size=config.batch_size, seed=config.seed)
