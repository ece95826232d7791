"""A process of a team: trains tiny models in float32 and prints their losses; see test_team.py."""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from test_training import tiny

import training.run
from mdcore.checkpoint import ModelConfig
from training.config import TrainConfig
from training.fsdp import own, whole
from training.loop import train
from training.team import ALONE, Team, gathered


def job(out: Path, schedule: str, **changes: Any) -> TrainConfig:
    """A tiny run that is trained by one process or several."""
    model = ModelConfig(
        codec={"name": "bytes", "length": 16},
        schedule={"name": schedule},
        backbone={
            "name": "transformer",
            "width": 16,
            "depth": 2,
            "heads": 2,
            "time_conditioned": True,
        },
    )
    return tiny(out, model=model, batch_size=16, log_every=1, **changes)


def losses(
    config: TrainConfig, *, team: Team = ALONE, stop: int = 0, resume: bool = False
) -> dict[str, Any]:
    """Train to the end or stop after some records; what was seen, and whether all agree."""
    records = train(config, device=torch.device("cpu"), team=team, resume=resume)
    seen = []
    for record in records:
        seen.append(record)
        if len(seen) == stop:
            records.close()
    weights = torch.cat([whole(p).flatten() for p in seen[-1].model.parameters()])
    mean = team.total(weights) / team.size
    return {
        "losses": [record.loss for record in seen],
        "validation": seen[-1].validation.get("bits_per_token"),
        "held": sum(own(p).numel() for p in seen[-1].model.parameters()),
        "spread": (mean - weights).abs().max().item(),
    }


if __name__ == "__main__":
    training.run.matmul_dtype = lambda _: torch.float32
    with gathered(torch.device("cpu")) as (team, _):
        for line in sys.argv[1:]:
            asked = json.loads(line)
            also = {key: asked.pop(key) for key in ("stop", "resume") if key in asked}
            told = losses(job(Path(asked.pop("out")), **asked), team=team, **also)
            if team.leads:
                print(json.dumps(told), flush=True)
