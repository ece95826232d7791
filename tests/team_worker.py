"""A process of a team: trains a tiny model in float32 and prints its losses; see test_team.py."""

import json
import sys
from pathlib import Path

import torch
from test_training import tiny
from torch import nn

import training.run
from mdcore.checkpoint import ModelConfig
from training.loop import train
from training.team import gathered


def losses(out: Path, schedule: str, accumulation: int) -> None:
    """Train alone or as torchrun says; the leader prints what it saw and whether all agree."""
    training.run.matmul_dtype = lambda _: torch.float32
    model = ModelConfig(
        codec={"name": "bytes", "length": 16},
        schedule={"name": schedule},
        backbone={
            "name": "transformer",
            "width": 16,
            "depth": 1,
            "heads": 2,
            "time_conditioned": True,
        },
    )
    config = tiny(out, model=model, batch_size=16, accumulation=accumulation, log_every=1)
    with gathered(torch.device("cpu")) as (team, device):
        records = list(train(config, device=device, team=team))
        weights = nn.utils.parameters_to_vector(records[-1].model.parameters())
        mean = team.total(weights) / team.size
        if team.leads:
            told = {
                "losses": [record.loss for record in records],
                "validation": records[-1].validation["bits_per_token"],
                "spread": (mean - weights).abs().max().item(),
            }
            print(json.dumps(told))


if __name__ == "__main__":
    losses(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
