"""The shelf: finds the checkpoints in some folders and loads them when they are asked for."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from app.state import Kind
from mdcore.checkpoint import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    ModelConfig,
    check_diffusion,
    load_checkpoint,
    read_config,
)
from mdcore.codecs import CODECS, Codec, ImageCodec, TextCodec
from mdcore.objectives import freeze
from mdcore.registry import Spec
from mdcore.schedules import SCHEDULES

BUNDLED = Path(__file__).parent.parent / "assets" / "checkpoints"
PRESETS: dict[Kind, str] = {"text": "childrens-books", "image": "mnist"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One checkpoint as it lies in its folder, not loaded.

    Attributes:
        name: what menus and requests call it; no two entries share one.
        folder: where it lies.
        problem: why it cannot be used, or None.
        kind: what it models.
        size: of an image: "28x28x1".
        length: tokens of one example.
        classes: names of its classes, their numbers where they have none.
        parameters: numbers in the weights.
        step: training steps done.
        schedule: name of the one it was trained with.
    """

    name: str
    folder: Path
    problem: str | None = None
    kind: Kind = "text"
    size: str = ""
    length: int = 0
    classes: tuple[str, ...] = ()
    parameters: int = 0
    step: int = 0
    schedule: str = ""

    @property
    def learned(self) -> bool:
        """Whether it learned a schedule for each token, and so has to keep it."""
        return bool(self.schedule) and not SCHEDULES[self.schedule].shared


class Shelf:
    """Checkpoints by name; the few used last stay in memory.

    Args:
        folders: each is a checkpoint, or holds some.
        device: where models run.
        dtype: of their matrix work; None leaves it to the hardware.
        capacity: how many models stay loaded.
    """

    def __init__(
        self,
        folders: Sequence[Path] = (BUNDLED,),
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        capacity: int = 2,
    ) -> None:
        self.folders = tuple(folders)
        self.device = torch.device(device)
        self._dtype = dtype
        self._capacity = capacity
        self._loaded: OrderedDict[str, Checkpoint] = OrderedDict()
        self._codecs: dict[str, Codec[Any]] = {}
        self._lock = threading.Lock()

    def entries(self) -> list[Entry]:
        """What lies in the folders now, damaged checkpoints with their reason included."""
        found = [child for folder in self.folders for child in _checkpoints_in(folder)]
        names = [folder.name for folder in found]
        entries: dict[str, Entry] = {}
        for folder in found:
            name = folder.name
            if names.count(name) > 1:
                name = f"{folder.parent.name}/{name}"
            name = name if name not in entries else str(folder)
            entries[name] = _describe(name, folder)
        return list(entries.values())

    def usable(self, kind: Kind | None = None) -> list[Entry]:
        """The checkpoints of a kind, or of any, that can be used."""
        return [e for e in self.entries() if not e.problem and kind in (None, e.kind)]

    def find(self, name: str | None, kind: Kind | None = None) -> Entry:
        """The checkpoint of that name; for None the first one of the kind that can be used.

        Raises:
            ValueError: there is none, it is damaged, or it models something else.
        """
        entries = self.entries()
        if name is None:
            usable = self.usable(kind)
            if not usable:
                raise ValueError(self.nothing(kind))
            return usable[0]
        for entry in entries:
            if entry.name == name:
                return _checked(entry, kind)
        known = ", ".join(entry.name for entry in entries) or "none"
        raise ValueError(f"There is no model {name[:80]!r}. Choose one of: {known}.")

    def nothing(self, kind: Kind | None = None) -> str:
        """The message that there is no model of a kind, and what to do."""
        places = ", ".join(str(folder) for folder in self.folders)
        return (
            f"No {kind + ' ' if kind else ''}model in {places}. Train one with "
            f"`python -m training.train {PRESETS[kind or 'text']}`, or start without "
            "--checkpoints to use the bundled models."
        )

    def is_loaded(self, name: str) -> bool:
        """Whether `load` would answer at once."""
        return name in self._loaded

    def text_codec(self, name: str | None) -> TextCodec:
        """The codec of that text checkpoint, or of the first one; loads no model.

        Raises:
            ValueError: as `find`, or its files are damaged.
        """
        entry = self.find(name, "text")
        codec = self._codec(entry)
        if not isinstance(codec, TextCodec):
            raise _of_other_kind(entry)
        return codec

    def image_codec(self, name: str | None) -> ImageCodec:
        """The codec of that image checkpoint; else as `text_codec`."""
        entry = self.find(name, "image")
        codec = self._codec(entry)
        if not isinstance(codec, ImageCodec):
            raise _of_other_kind(entry)
        return codec

    def _codec(self, entry: Entry) -> Codec[Any]:
        loaded = self._loaded.get(entry.name)
        if loaded is not None:
            return loaded.codec
        if entry.name not in self._codecs:
            spec = read_config(entry.folder)["model"]["codec"]
            self._codecs[entry.name] = CODECS.build(spec, folder=entry.folder)
        return self._codecs[entry.name]

    def load(self, name: str) -> Checkpoint:
        """The checkpoint of that name, from memory or from its folder.

        Raises:
            ValueError: as `find`, or the files are damaged.
        """
        with self._lock:
            entry = self.find(name)
            checkpoint = self._loaded.pop(name, None)
            if checkpoint is None:
                while len(self._loaded) >= self._capacity:
                    self._loaded.popitem(last=False)
                checkpoint = self._read(entry)
            self._loaded[name] = checkpoint
            return checkpoint

    def _read(self, entry: Entry) -> Checkpoint:
        try:
            checkpoint = load_checkpoint(entry.folder, device=self.device)
            model = checkpoint.model
            model.compute_dtype = self._dtype or model.compute_dtype
            freeze(model)
            return checkpoint
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"The GPU has no room for {entry.name}. Close what else uses it, or start with "
                "--device cpu."
            ) from error


def _checkpoints_in(folder: Path) -> list[Path]:
    """The folder itself if it is a checkpoint, else those of its children that are."""
    if _is_checkpoint(folder):
        return [folder.resolve()]
    if not folder.is_dir():
        return []
    return sorted(c for c in folder.resolve().iterdir() if c.name[0] != "." and _is_checkpoint(c))


def _is_checkpoint(folder: Path) -> bool:
    return (folder / CONFIG_FILE).is_file() or (folder / WEIGHTS_FILE).is_file()


def _describe(name: str, folder: Path) -> Entry:
    """An entry from the config and the header of the weights; no weight is read."""
    try:
        config = read_config(folder)
        model = config["model"]
        check_diffusion(ModelConfig(**model))
        return Entry(
            name=name,
            folder=folder,
            **_measures(model["codec"]),
            classes=ModelConfig(**model).classes,
            parameters=_count_parameters(folder / WEIGHTS_FILE),
            step=int(config.get("step", 0)),
            schedule=model["schedule"]["name"],
        )
    except (TypeError, KeyError):
        problem = f"{folder / CONFIG_FILE} lacks the model's description; copy it again."
        return Entry(name=name, folder=folder, problem=problem)
    except ValueError as error:
        return Entry(name=name, folder=folder, problem=str(error))


def _measures(spec: Spec) -> dict[str, Any]:
    """Kind, size and length from a codec's spec."""
    if issubclass(CODECS[spec["name"]], TextCodec):
        return {"kind": "text", "length": int(spec.get("length", 0))}
    codec = CODECS.build(spec)
    if not isinstance(codec, ImageCodec):
        raise ValueError(f"{spec['name']} codes neither text nor images; this page shows those.")
    return {"kind": "image", "size": codec.size, "length": codec.length}


def _count_parameters(path: Path) -> int:
    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; copy the checkpoint again.") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); copy it again.") from error
    return sum(torch.Size(shape).numel() for shape in shapes)


def _checked(entry: Entry, kind: Kind | None) -> Entry:
    if entry.problem:
        raise ValueError(f"{entry.name} cannot be used: {entry.problem}")
    if kind not in (None, entry.kind):
        raise _of_other_kind(entry)
    return entry


def _of_other_kind(entry: Entry) -> ValueError:
    a_kind = "an image" if entry.kind == "image" else "a text"
    size = f" ({entry.size})" if entry.size else ""
    return ValueError(f"{entry.folder} is {a_kind} checkpoint{size}. Choose it under {a_kind} tab.")
