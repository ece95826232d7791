"""A training run's state: what changes from step to step, and how it is kept on disk."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mdcore.backbones.layers import recompute
from mdcore.checkpoint import Checkpoint, ModelConfig, build_model, save_checkpoint
from mdcore.codecs import Codec
from mdcore.hardware import matmul_dtype
from mdcore.objectives import Model
from training.config import TrainConfig
from training.ema import EMA
from training.optimizers import OPTIMIZERS, Optimizer
from training.team import ALONE, Team

STATE_FILE = "state.safetensors"


@dataclass
class Run:
    """Everything that changes while a run goes on."""

    config: TrainConfig
    codec: Codec[Any]
    model: Model
    loss: nn.Module
    ema: EMA
    optimizer: Optimizer
    step: int = 0
    best: float = math.inf

    def save(self, metrics: Mapping[str, float]) -> Path:
        """Write DIR/state.safetensors, DIR/last and, if its metrics are the best, DIR/best.

        Args:
            metrics: measured at this step; without "bits_per_token" it is not compared.

        Returns:
            DIR/last.
        """
        checkpoint = Checkpoint(
            model=self.ema.model,
            codec=self.codec,
            config=self.config.model,
            step=self.step,
            metrics=metrics,
            training=self.config.describe(),
        )
        out = self.config.out
        if metrics.get("bits_per_token", math.inf) < self.best:
            self.best = metrics["bits_per_token"]
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
            ValueError: it is damaged, or of another run.
        """
        path = self.config.out / STATE_FILE
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads(file.metadata()["run"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no dict
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is damaged ({error}); start anew without --resume."
            ) from error
        # a run begun before an option of the model existed has the option's default
        facts["config"]["model"] = dataclasses.asdict(ModelConfig(**facts["config"]["model"]))
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


def start(config: TrainConfig, codec: Codec[Any], device: torch.device, team: Team = ALONE) -> Run:
    """A run before its first step."""
    # torch's initialisers and dropout draw from the global generator: here alone it is seeded.
    torch.manual_seed(config.seed)
    model = build_model(config.model).to(device)
    model.compute_dtype = matmul_dtype(device)
    ema = EMA(model, config.ema)
    optimizer = OPTIMIZERS.build(config.optimizer, model=model)
    if config.recompute:
        recompute(model.denoiser)
    if config.compile:
        model.denoiser.compile()
    return Run(config, codec, model, team.loss(model), ema, optimizer)
