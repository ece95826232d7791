"""Store finished runs for the page to begin with: python -m app.example CHECKPOINT OUT.json."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from app.lane import Lane
from app.live import complete
from app.shelf import Shelf
from app.state import Request, Settings


@dataclass(frozen=True)
class Arguments:
    """Sample from a checkpoint and store the trajectories."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of the checkpoint."""
    out: Annotated[Path, tyro.conf.Positional]
    """File to write; of several samples OUT-1.json, OUT-2.json and so on."""
    prompt: str = ""
    """What the text begins with."""
    infill: str | None = None
    """A text with [MASK]s and [[words]] to be filled, in place of a prompt."""
    count: int = 1
    """How many samples, each with a seed of its own."""
    steps: int = 64
    """Sampler steps."""
    sampler: str = "ancestral"
    """A name in SAMPLERS."""
    temperature: float = 1.0
    """Of the logits."""
    top_p: float = 1.0
    """Mass of the tokens that may be drawn."""
    seed: int = 0
    """Of the first sample; each further one has the next."""


def main() -> None:
    """Sample, write the files, print the texts."""
    arguments = tyro.cli(Arguments)
    shelf, out = Shelf([arguments.checkpoint]), arguments.out
    out.parent.mkdir(parents=True, exist_ok=True)
    for k in range(arguments.count):
        result = complete(shelf, Lane(), _request(arguments, arguments.seed + k), "example")
        compact = json.dumps(result["trajectory"], ensure_ascii=False, separators=(",", ":"))
        path = out if arguments.count == 1 else out.with_stem(f"{out.stem}-{k + 1}")
        path.write_text(compact + "\n", encoding="utf-8")
        print(result["text"])


def _request(arguments: Arguments, seed: int) -> Request:
    settings = Settings(
        steps=arguments.steps,
        sampler=arguments.sampler,
        temperature=arguments.temperature,
        top_p=arguments.top_p,
        seed=seed,
    )
    if arguments.infill is not None:
        return settings.request(None, arguments.infill, fill=False)
    return settings.request(None, arguments.prompt, fill=True)


if __name__ == "__main__":
    main()
