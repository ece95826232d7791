"""Checkpoints: a folder with config.json, model.safetensors and, for BPE, tokenizer.json."""

import ctypes
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from typing_extensions import TypeVar

from mdcore.backbones import BACKBONES
from mdcore.codecs import CODECS, Codec
from mdcore.diffusion import MD4
from mdcore.hardware import matmul_dtype
from mdcore.objectives import OBJECTIVES, Diffusion, Model
from mdcore.registry import Spec

FORMAT = 1
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

M_co = TypeVar("M_co", bound=Model, default=MD4, covariant=True)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """All that decides a model's shape: specs and the number of classes.

    Attributes:
        codec, backbone, objective: each a name and its options.
        schedule: likewise; an objective without a schedule leaves it unread.
        num_classes: 0 for none.
        class_names: one for each class, in the order of the labels; may be left empty.
    """

    codec: Spec
    schedule: Spec = field(default_factory=dict)
    backbone: Spec
    objective: Spec = field(default_factory=lambda: {"name": "diffusion"})
    num_classes: int = 0
    class_names: Sequence[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """A name for each class: its number if it has none."""
        return tuple(self.class_names) or tuple(map(str, range(self.num_classes)))


@dataclass(frozen=True, kw_only=True)
class Checkpoint(Generic[M_co]):
    """A model with its codec, and where it comes from.

    Attributes:
        model: on its device, in evaluation mode when loaded.
        codec: raw data <-> tokens.
        config: what both were built from.
        step: training steps done.
        metrics: figures measured at that step.
        training: how the model was made, as JSON; {} if unknown.
    """

    model: M_co
    codec: Codec[Any]
    config: ModelConfig
    step: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


def build_model(config: ModelConfig) -> Model:
    """The model of a config, with fresh weights from torch's global generator.

    Raises:
        ValueError: a name or an option is unknown, or the parts do not fit together.
    """
    codec = CODECS.build(config.codec)
    objective = OBJECTIVES.build(config.objective, schedule=config.schedule)
    backbone = BACKBONES.build(
        config.backbone,
        vocab_size=codec.vocab_size,
        length=codec.length,
        shape=codec.shape,
        num_classes=config.num_classes,
        causal=objective.causal,
    )
    return objective.model(backbone, codec.vocab_size)


def check_diffusion(config: ModelConfig) -> None:
    """Refuse a model that does not turn masks into tokens.

    Raises:
        ValueError: it has another objective than diffusion.
    """
    if OBJECTIVES[config.objective["name"]] is not Diffusion:
        raise ValueError(
            f"this is an {config.objective['name']} model, which knows no masks; choose a model "
            "of masked diffusion. training.sample and training.evaluate take it."
        )


def save_checkpoint(
    folder: Path, checkpoint: Checkpoint[Model], *, dtype: torch.dtype | None = None
) -> None:
    """Write a checkpoint; whatever fails on the way, the folder holds the old one or the new one.

    Args:
        folder: where to; a checkpoint that is there is replaced.
        checkpoint: what to write.
        dtype: of the network's weights in the file; None keeps the model's.

    Raises:
        OSError: it cannot be written.
    """
    settle(folder)
    scratch = _hidden(folder, "new")
    scratch.mkdir(parents=True)
    try:
        weights = {
            # a learned schedule is small, and its exponents are read as they are: not rounded
            name: w.detach().to("cpu", None if name.startswith("schedule.") else dtype)
            for name, w in checkpoint.model.state_dict().items()
        }
        save_tensors(weights, scratch / WEIGHTS_FILE)
        checkpoint.codec.save(scratch)
        config = {
            "format": FORMAT,
            "model": dataclasses.asdict(checkpoint.config),
            "step": checkpoint.step,
            "metrics": dict(checkpoint.metrics),
            "training": dict(checkpoint.training),
        }
        (scratch / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        for path in scratch.iterdir():
            path.chmod(0o644)  # safetensors makes its file private
            _to_disk(path)
        _replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write a safetensors file through to the disk; an OSError names the file."""
    try:
        save_file({name: w.contiguous() for name, w in tensors.items()}, path, metadata)
    except SafetensorError as error:
        raise OSError(
            f"{path} cannot be written ({error}); free space on its disk or choose another folder."
        ) from error
    _to_disk(path)


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _hidden(folder: Path, ending: str) -> Path:
    return folder.parent / f".{folder.name}.{ending}"


def settle(folder: Path) -> None:
    """Put right what a killed `save_checkpoint` left: the old checkpoint is back, scratch gone."""
    old = _hidden(folder, "old")
    if old.exists() and not folder.exists():
        old.rename(folder)
    for leftover in (_hidden(folder, "new"), old):
        shutil.rmtree(leftover, ignore_errors=True)


def _replace(new: Path, folder: Path) -> None:
    """Put the folder `new` in the place of `folder`, in one move where the system can swap two."""
    if not folder.exists():
        new.rename(folder)
    elif not _swap(new, folder):
        old = _hidden(folder, "old")
        folder.replace(old)
        try:
            new.rename(folder)
        except BaseException:
            old.replace(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _swap(a: Path, b: Path) -> bool:
    """Exchange two folders in one move; False if this system or disk cannot."""
    if sys.platform != "linux":
        return False
    move = getattr(ctypes.CDLL(None), "renameat2", None)  # os has no such function
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(move and move(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0)


def read_config(folder: Path) -> dict[str, Any]:
    """The parsed config.json of a checkpoint.

    Raises:
        ValueError: it is missing, damaged, or of a newer format.
    """
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} holds no checkpoint: {CONFIG_FILE} is missing.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); copy the checkpoint again.") from error
    if not isinstance(config, dict) or not {"format", "model"} <= config.keys():
        raise _foreign(folder)
    if config["format"] != FORMAT:
        raise ValueError(
            f"{path} has format {config['format']}; this version reads {FORMAT}. "
            "Update the project."
        )
    return config


def _foreign(folder: Path) -> ValueError:
    return ValueError(
        f"{folder / CONFIG_FILE} is not the config of a checkpoint made by this project; "
        "choose a folder that training.train wrote."
    )


def load_checkpoint(folder: Path | str, *, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a checkpoint of masked diffusion; else as `load_any_checkpoint`."""
    checkpoint = load_any_checkpoint(folder, device=device)
    try:
        check_diffusion(checkpoint.config)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    return cast(Checkpoint, checkpoint)


def load_any_checkpoint(
    folder: Path | str, *, device: torch.device | str = "cpu"
) -> Checkpoint[Model]:
    """Read a checkpoint of any objective; nothing in it is unpickled.

    The model comes in evaluation mode with float32 weights, its matrix work in the format that is
    fast on the device.

    Raises:
        ValueError: the folder holds no checkpoint, or a damaged, foreign or too new one.
    """
    folder, device = Path(folder), torch.device(device)
    stored = read_config(folder)
    try:
        config = ModelConfig(**stored["model"])
        codec = CODECS.build(config.codec, folder=folder)
        model = build_model(config)
    except TypeError as error:
        raise _foreign(folder) from error
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    _load_weights(model, folder / WEIGHTS_FILE)
    model.to(device).eval()
    model.compute_dtype = matmul_dtype(device)
    return Checkpoint(
        model=model,
        codec=codec,
        config=config,
        step=stored.get("step", 0),
        metrics=stored.get("metrics", {}),
        training=stored.get("training", {}),
    )


def _load_weights(model: Model, path: Path) -> None:
    try:
        weights = load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; copy the checkpoint again.") from None
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); copy it again.") from error
    expected = model.state_dict()
    if weights.keys() != expected.keys():
        odd = sorted(weights.keys() ^ expected.keys())
        raise ValueError(
            f"{path} holds another model's weights: {odd[0]!r} and {len(odd) - 1} more differ. "
            f"Copy {CONFIG_FILE} and {WEIGHTS_FILE} from the same checkpoint."
        )
    for name, weight in weights.items():
        if weight.shape != expected[name].shape:
            raise ValueError(
                f"{path}: {name!r} has shape {tuple(weight.shape)}, the config says "
                f"{tuple(expected[name].shape)}. "
                f"Copy {CONFIG_FILE} and {WEIGHTS_FILE} from the same checkpoint."
            )
    model.load_state_dict(weights)
