"""Train a model: python -m training.train PRESET [--data PATH ...] [--out DIR] [--resume]."""

import dataclasses
import itertools
import json
import signal
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from PIL import Image
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from mdcore.hardware import DeviceName, matmul_dtype, pick_device
from mdcore.objectives import OBJECTIVES
from mdcore.sampling import SAMPLERS
from training.command import command
from training.config import PRESETS, TrainConfig
from training.data import local_spec
from training.drawing import fill
from training.loop import Record, train
from training.team import Team, gathered


@dataclass(frozen=True)
class Arguments:
    """Train a model; checkpoints, metrics.jsonl and TensorBoard logs go to --out."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(constructor=Literal[tuple(PRESETS)])]
    """What to train."""
    objective: Annotated[str | None, tyro.conf.arg(constructor=Literal[tuple(OBJECTIVES)])] = None
    """Train the same network for another end: autoregressive makes it causal, a baseline."""
    data: tuple[Path, ...] = ()
    """Files or folders to train on instead of the preset's data: .txt files for text; image files,
    npz or idx files for pictures."""
    out: Path | None = None
    """Folder for the results; runs/PRESET if not given."""
    steps: int | None = None
    """Optimizer steps."""
    batch_size: int | None = None
    """Examples in an optimizer step."""
    accumulation: int | None = None
    """Parts into which a batch is split to save memory."""
    learning_rate: float | None = None
    """Peak learning rate of AdamW."""
    seed: int = 0
    """Of weights, batches, times and masks."""
    vocab_size: int | None = None
    """Tokens of a BPE that is trained on the data."""
    tokenizer: str | None = None
    """A tokenizer.json, or a name on the hub, for BPE presets."""
    width: int | None = None
    """Of the backbone's residual stream."""
    depth: int | None = None
    """Blocks of the backbone."""
    heads: int | None = None
    """Attention heads."""
    widths: tuple[int, ...] = ()
    """Channels of a U-Net at each resolution, each half of the one before."""
    blocks: tuple[int, ...] = ()
    """Residual blocks of a U-Net at each resolution."""
    evaluate_every: int | None = None
    """Steps between evaluations."""
    sample_every: int | None = None
    """Steps between samples."""
    checkpoint_every: int | None = None
    """Steps between checkpoints."""
    checkpoint_minutes: float | None = None
    """A checkpoint is also written after this many minutes."""
    compile: bool = False
    """torch.compile the backbone: a minute to start, then faster steps."""
    recompute: bool = False
    """Make activations twice instead of keeping them: less memory, a third more work."""
    shard: bool = False
    """Of several processes each holds a part of the model (FSDP2), for one that does not fit."""
    device: DeviceName = "auto"
    """Where to train."""
    resume: bool = False
    """Go on from --out's last checkpoint; give the same options as at first."""


def configure(arguments: Arguments) -> TrainConfig:
    """The preset with what the command line changes."""
    config = PRESETS[arguments.preset]
    names = {f.name for f in dataclasses.fields(TrainConfig)} - {"data", "out"}
    chosen = {
        name: value
        for name, value in vars(arguments).items()
        if name in names and value is not None
    }
    if arguments.data:
        chosen["data"] = local_spec(config.data, [str(path) for path in arguments.data])
        if chosen["data"]["name"] == "shards" and (arguments.vocab_size or arguments.tokenizer):
            raise ValueError(
                "tokens in shards have their tokenizer; omit --vocab-size, --tokenizer."
            )
    if arguments.learning_rate is not None:
        chosen["optimizer"] = {**config.optimizer, "learning_rate": arguments.learning_rate}
    shape = {key: getattr(arguments, key) for key in ("width", "depth", "heads")}
    shape |= {key: list(getattr(arguments, key)) or None for key in ("widths", "blocks")}
    backbone = {**config.model.backbone, **{k: v for k, v in shape.items() if v is not None}}
    codec = dict(config.model.codec)
    if arguments.vocab_size is not None:
        codec["vocab_size"] = arguments.vocab_size
    chosen["model"] = dataclasses.replace(config.model, backbone=backbone, codec=codec)
    if arguments.objective is not None:
        objective = {"name": arguments.objective}
        chosen["model"] = dataclasses.replace(chosen["model"], objective=objective)
    chosen["warmup"] = min(config.warmup, max(1, chosen.get("steps", config.steps) // 10))
    chosen["out"] = arguments.out or Path("runs") / arguments.preset
    return dataclasses.replace(config, **chosen)


def describe(record: Record) -> dict[str, float]:
    """A record as one flat JSON object."""
    line = {
        "step": record.step,
        "loss": record.loss,
        "bits_per_token": record.bits_per_token,
        "tokens_per_second": record.tokens_per_second,
        "learning_rate_factor": record.learning_rate_factor,
    }
    return line | {f"validation_{name}": value for name, value in record.validation.items()}


def draw(record: Record, device: torch.device) -> Any:
    """Raw data of one sample of the averaged model, with the same noise each time."""
    masks = torch.full((1, record.codec.length), record.model.mask_id, device=device)
    sampler = SAMPLERS.build({"name": "ancestral", "steps": 128})
    generator = torch.Generator().manual_seed(0)
    return record.codec.decode(fill(record.model, sampler, masks, generator=generator)[0].cpu())


def keep_sample(raw: Any, step: int, board: SummaryWriter, out: Path) -> str:
    """Log a sample, raw data; returns what to say of it."""
    if isinstance(raw, str):
        board.add_text("sample", raw, step)
        return raw
    board.add_image("sample", raw, step, dataformats="HWC")
    path = out / "samples" / f"{step:07}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(raw.squeeze()).save(path)
    return str(path)


class Interrupt:
    """Turns the first Ctrl-C, and each SIGTERM, into a flag: a run stops between two steps."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)
        signal.signal(signal.SIGTERM, self._ask)  # a cluster's, or torchrun's after a Ctrl-C

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def until_asked(
    records: Generator[Record, None, None], interrupt: Interrupt, team: Team, device: torch.device
) -> Iterator[Record]:
    """The records until one process is asked to stop; then all stop, and all is saved."""
    for record in records:
        yield record
        if team.any(interrupt.asked, device):
            records.close()


def run(arguments: Arguments) -> None:
    """Train, alone or as one of the processes of torchrun, of which the leader reports."""
    config = configure(arguments)
    with gathered(pick_device(arguments.device)) as (team, device):
        if team.leads:
            print(
                f"{arguments.preset} on {device} x {team.size}, matrix work in "
                f"{matmul_dtype(device)}, to {config.out}; reading the data ...",
                flush=True,
            )
        interrupt = Interrupt()
        records = train(config, device=device, resume=arguments.resume, team=team)
        records_until = until_asked(records, interrupt, team, device)
        sampled = with_samples(records_until, config, team, device)
        try:
            if team.leads:
                report(sampled, config, resume=arguments.resume)
            else:
                for _ in sampled:
                    pass
        except BaseException as error:
            if team.size > 1:  # else it would be saved now, without the others
                with suppress(type(error)):
                    records.throw(error)
            raise


def with_samples(
    records: Iterator[Record], config: TrainConfig, team: Team, device: torch.device
) -> Iterator[tuple[Record, Any]]:
    """Each record, with a sample where one is due, else None; in shards a model is asked by all."""
    for record in records:
        due = record.step % config.sample_every < config.log_every or record.step == config.steps
        yield record, draw(record, device) if due and (team.leads or config.shard) else None


def report(records: Iterator[tuple[Record, Any]], config: TrainConfig, *, resume: bool) -> None:
    """Write metrics.jsonl, TensorBoard logs, samples and a progress bar."""
    begun = next(records, None)  # data and options that are wrong show before a file is touched
    if begun is None:
        print(f"Done before: the model of step {config.steps} is in {config.out / 'last'}.")
        return
    first = begun[0].step
    if resume:
        cut(config.out / "metrics.jsonl", first)
    with (
        SummaryWriter(config.out / "tensorboard", purge_step=first) as board,
        (config.out / "metrics.jsonl").open("a" if resume else "w") as metrics,
        tqdm(
            total=config.steps,
            initial=first,
            unit="step",
            dynamic_ncols=True,
            mininterval=0.1 if sys.stderr.isatty() else 30,  # a log file needs no animation
        ) as bar,
    ):
        for record, raw in itertools.chain([begun], records):
            line = describe(record)
            metrics.write(json.dumps(line) + "\n")
            metrics.flush()
            for name, value in line.items():
                board.add_scalar(name, value, record.step)
            bar.update(record.step - bar.n)
            show(bar, line)
            if raw is not None:
                said = keep_sample(raw, record.step, board, config.out)
                bar.write(f"--- sample at step {record.step}\n{said}\n---")
    if record.step < config.steps:
        print(
            f"Stopped at step {record.step}; everything is saved in {config.out}. "
            "Go on with the same command and --resume."
        )
        return
    print(f"Done. The model is in {config.out / 'last'} (best validation: {config.out / 'best'}).")


def cut(metrics: Path, step: int) -> None:
    """Keep the lines before a step: a killed run may have told of steps that are now done again."""
    scratch = metrics.with_name(f".{metrics.name}")
    with metrics.open("a+", encoding="utf-8") as file:
        file.seek(0)
        lines = [line for line in file if line.endswith("\n") and json.loads(line)["step"] < step]
    scratch.write_text("".join(lines), encoding="utf-8")
    scratch.replace(metrics)


def show(bar: "tqdm[None]", line: dict[str, float]) -> None:
    """Figures beside the bar; a line of its own for an evaluation."""
    bar.set_postfix_str(
        f"loss {line['loss']:.3f}, {line['bits_per_token']:.3f} bits/token, "
        f"{line['tokens_per_second']:,.0f} tokens/s",
        refresh=False,
    )
    for name, unit in (("bits_per_character", "bits per character"), ("bits_per_token", "bits")):
        if f"validation_{name}" in line:
            error = "standard_error" if unit == "bits" else f"{name}_standard_error"
            bar.write(
                f"step {line['step']:,}: validation {line[f'validation_{name}']:.4f} "
                f"± {line[f'validation_{error}']:.4f} {unit}"
            )
            break


if __name__ == "__main__":
    command("training.train", Arguments, run)
