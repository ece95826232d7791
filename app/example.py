"""Store a finished run for the page to begin with: python -m app.example CHECKPOINT OUT.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from app.lane import Lane
from app.live import complete
from app.shelf import Shelf
from app.state import Settings


@dataclass(frozen=True)
class Arguments:
    """Sample from a checkpoint and store the trajectory."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of the checkpoint."""
    out: Annotated[Path, tyro.conf.Positional]
    """File to write."""
    prompt: str = ""
    """What the text begins with."""
    steps: int = 64
    """Sampler steps."""
    sampler: str = "ancestral"
    """A name in SAMPLERS."""
    temperature: float = 1.0
    """Of the logits."""
    top_p: float = 1.0
    """Mass of the tokens that may be drawn."""
    seed: int = 0
    """Of the run."""


def main() -> None:
    """Sample, write the file, print the text."""
    arguments = tyro.cli(Arguments)
    settings = Settings(
        steps=arguments.steps,
        sampler=arguments.sampler,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        seed=arguments.seed,
    )
    request = settings.request(None, arguments.prompt, fill=True)
    result = complete(Shelf([arguments.checkpoint]), Lane(), request, "example")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    compact = json.dumps(result["trajectory"], ensure_ascii=False, separators=(",", ":"))
    arguments.out.write_text(compact + "\n", encoding="utf-8")
    print(result["text"])


if __name__ == "__main__":
    main()
