"""The shelf: finds the checkpoints in some folders and loads them when they are asked for."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open

from mdcore.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Checkpoint, load_checkpoint, read_config
from mdcore.codecs import CODECS, TextCodec

BUNDLED = Path(__file__).parent.parent / "assets" / "checkpoints"
TRAIN_HINT = (
    "Train one with `python -m training.train childrens-books`, or start without --checkpoints "
    "to use the bundled models."
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One checkpoint as it lies in its folder, not loaded.

    Attributes:
        name: what menus and requests call it; no two entries share one.
        folder: where it lies.
        problem: why it cannot be used, or None.
        is_text: whether it models text.
        length: tokens of one example.
        parameters: numbers in the weights.
        step: training steps done.
    """

    name: str
    folder: Path
    problem: str | None = None
    is_text: bool = True
    length: int = 0
    parameters: int = 0
    step: int = 0


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
        self._codecs: dict[str, TextCodec] = {}
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

    def text_names(self) -> list[str]:
        """Names of the text models that can be used."""
        return [entry.name for entry in self.entries() if entry.is_text and not entry.problem]

    def find(self, name: str | None) -> Entry:
        """The text checkpoint of that name; the first one that can be used for None.

        Raises:
            ValueError: there is none, it is damaged, or it models something else.
        """
        entries = self.entries()
        if name is None:
            usable = [entry for entry in entries if entry.is_text and not entry.problem]
            if not usable:
                raise ValueError(f"No text model in {self.places}. {TRAIN_HINT}")
            return usable[0]
        for entry in entries:
            if entry.name == name:
                return _usable(entry)
        known = ", ".join(entry.name for entry in entries) or "none"
        raise ValueError(f"There is no model {name[:80]!r}. Choose one of: {known}.")

    @property
    def places(self) -> str:
        """The folders, for a message."""
        return ", ".join(str(folder) for folder in self.folders)

    def is_loaded(self, name: str) -> bool:
        """Whether `load` would answer at once."""
        return name in self._loaded

    def codec(self, name: str | None) -> TextCodec:
        """The codec of the checkpoint of that name, or of the first one; loads no model.

        Raises:
            ValueError: as `find`, or its files are damaged.
        """
        entry = self.find(name)
        loaded = self._loaded.get(entry.name)
        if loaded is not None:
            return cast(TextCodec, loaded.codec)
        if entry.name not in self._codecs:
            spec = read_config(entry.folder)["model"]["codec"]
            self._codecs[entry.name] = cast(TextCodec, CODECS.build(spec, folder=entry.folder))
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
                checkpoint = load_checkpoint(entry.folder, device=self.device)
                if self._dtype is not None:
                    checkpoint.model.compute_dtype = self._dtype
            self._loaded[name] = checkpoint
            return checkpoint


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
        codec = config["model"]["codec"]
        kind = CODECS[codec["name"]]
        return Entry(
            name=name,
            folder=folder,
            is_text=issubclass(kind, TextCodec),
            length=int(codec.get("length", 0)),
            parameters=_count_parameters(folder / WEIGHTS_FILE),
            step=int(config.get("step", 0)),
        )
    except (TypeError, KeyError):
        problem = f"{folder / CONFIG_FILE} lacks the model's description; copy it again."
        return Entry(name=name, folder=folder, problem=problem)
    except ValueError as error:
        return Entry(name=name, folder=folder, problem=str(error))


def _count_parameters(path: Path) -> int:
    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; copy the checkpoint again.") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); copy it again.") from error
    return sum(torch.Size(shape).numel() for shape in shapes)


def _usable(entry: Entry) -> Entry:
    if entry.problem:
        raise ValueError(f"{entry.name} cannot be used: {entry.problem}")
    if not entry.is_text:
        raise ValueError(f"{entry.folder} is an image checkpoint. Choose it under an image tab.")
    return entry
