"""A training run's state: what changes from step to step, and how it is kept on disk."""

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mdcore.backbones.layers import recompute
from mdcore.checkpoint import (
    Checkpoint,
    ModelConfig,
    build_model,
    save_checkpoint,
    save_tensors,
    settle,
)
from mdcore.codecs import Codec
from mdcore.hardware import matmul_dtype
from mdcore.objectives import Model
from training.config import TrainConfig
from training.ema import EMA
from training.fsdp import like, own, shard, whole
from training.optimizers import OPTIMIZERS, Optimizer
from training.team import ALONE, Team

STATE_FILE = "state.safetensors"


@dataclass
class Run:
    """Everything that changes while a run goes on.

    Attributes:
        step: optimizer steps done.
        saved: those that the state on the disk has done.
        best: fewest bits per token measured so far.
    """

    config: TrainConfig
    codec: Codec[Any]
    model: Model
    loss: nn.Module
    ema: EMA
    optimizer: Optimizer
    team: Team = ALONE
    step: int = 0
    saved: int = 0
    best: float = math.inf

    def save(self, metrics: Mapping[str, float]) -> None:
        """Write DIR/state.safetensors, DIR/last and, if its metrics are the best, DIR/best.

        All processes of a team take part, and its leader writes.

        Args:
            metrics: measured at this step; without "bits_per_token" it is not compared.

        Raises:
            OSError: they cannot be written; those written before stay whole.
        """
        try:
            self._save(metrics)
        except OSError as error:
            raise OSError(
                f"Step {self.step} cannot be saved: {error} What was saved at step {self.saved} "
                f"is whole in {self.config.out}: when there is space, go on with --resume."
            ) from error

    def _save(self, metrics: Mapping[str, float]) -> None:
        tensors = self._tensors()
        checkpoint = Checkpoint(
            model=self._whole_model(tensors),
            codec=self.codec,
            config=self.config.model,
            step=self.step,
            metrics=metrics,
            training=self.config.describe(),
        )
        out = self.config.out
        best = metrics.get("bits_per_token", math.inf) < self.best
        self.best = metrics["bits_per_token"] if best else self.best
        for name in ("best", "last") if best else ("last",):
            if self.team.leads:
                save_checkpoint(out / name, checkpoint, dtype=self.ema.model.compute_dtype)
        self.save_state(tensors)

    def save_state(self, tensors: dict[str, Tensor] | None = None) -> None:
        """One file, put in place by one rename: it is either the old state or the new one.

        Args:
            tensors: the whole state, if the caller has it.
        """
        tensors = tensors or self._tensors()
        if self.team.leads:
            self._write_state(tensors)
        self.saved = self.step

    def _write_state(self, tensors: dict[str, Tensor]) -> None:
        facts = {"step": self.step, "best": self.best, "config": self.config.describe()}
        # a folder: safetensors writes beside the file it makes, and a kill would leave that there
        scratch = self.config.out / ".state.new"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            save_tensors(tensors, scratch / STATE_FILE, {"run": json.dumps(facts)})
            (scratch / STATE_FILE).replace(self.config.out / STATE_FILE)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _parts(self) -> Iterator[tuple[str, Tensor]]:
        """The state's tensors; of those in shards, what this process has."""
        for kind, tensors in (
            ("model", self.model.state_dict()),
            ("ema", self.ema.model.state_dict()),
            ("optimizer", self.optimizer.tensors()),
        ):
            yield from ((f"{kind}.{name}", tensor) for name, tensor in tensors.items())

    def _tensors(self) -> dict[str, Tensor]:
        return {name: whole(tensor) for name, tensor in self._parts()}

    def _whole_model(self, tensors: dict[str, Tensor]) -> Model:
        """The averaged model as one process holds it."""
        if not self.config.shard:
            return self.ema.model
        with torch.device("meta"):
            model = build_model(self.config.model)
        model.load_state_dict(_below(tensors, "ema."), assign=True)
        return model

    def spoiled(self) -> str | None:
        """A tensor of the state that is not finite, by name: what must never be saved."""
        return next((k for k, v in self._parts() if not own(v).isfinite().all()), None)

    def resume(self) -> None:
        """Take over what `save` wrote.

        Raises:
            ValueError: it is damaged, or of another run.
        """
        path = self.config.out / STATE_FILE
        facts, tensors = read_state(path)
        for name in ("last", "best") if self.team.leads else ():
            settle(self.config.out / name)
        # a run begun before an option of the model existed has the option's default
        facts["config"]["model"] = dataclasses.asdict(ModelConfig(**facts["config"]["model"]))
        _check_same_run(facts["config"], json.loads(json.dumps(self.config.describe())), path)
        self.step, self.best = facts["step"], facts["best"]
        self.saved = self.step
        for model, prefix in ((self.model, "model."), (self.ema.model, "ema.")):
            held = model.state_dict()
            stored = _below(tensors, prefix)
            model.load_state_dict({name: like(stored[name], held[name]) for name in stored})
        self.optimizer.load(_below(tensors, "optimizer."))


def read_state(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and tensors of a DIR/state.safetensors.

    Raises:
        ValueError: it is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads(file.metadata()["run"])
            return facts, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); remove it and start anew without --resume."
        ) from error


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


def start(config: TrainConfig, codec: Codec[Any], device: torch.device, team: Team = ALONE) -> Run:
    """A run before its first step."""
    # torch's initialisers and dropout draw from the global generator: here alone it is seeded.
    torch.manual_seed(config.seed)
    model = build_model(config.model)
    model.compute_dtype = matmul_dtype(device)
    ema = EMA(model, config.ema)
    for each in (model, ema.model):
        shard(each, device) if config.shard else each.to(device)
    optimizer = OPTIMIZERS.build(config.optimizer, model=model)
    if config.recompute:
        recompute(model.denoiser)
    if config.compile:
        model.denoiser.compile()
    loss = team.loss(model, sharded=config.shard)
    return Run(config, codec, model, loss, ema, optimizer, team)
