"""Text that `training.tokenise` has turned into tokens: memory-mapped files with an index.

A folder holds index.json, for each shard of a split NAME.bin (its tokens, little-endian unsigned
integers of 16 or 32 bits) and NAME.documents.npy (where in it documents begin, int64), and a BPE's
tokenizer.json. Windows are cut from the tokens of all shards of a split end to end, as from a text
in memory, borders of documents and shards regardless; see `windows`.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
import torch

from mdcore.codecs import CODECS, TextCodec
from mdcore.registry import Spec
from training.data.source import DATASETS, Split
from training.data.windows import token_type

INDEX_FILE = "index.json"
FORMAT = 1
OPEN_SHARDS = 256
"""Shards that are mapped at a time: a process may not hold files without number."""


@dataclass(frozen=True)
class Index:
    """What a folder of shards holds.

    Attributes:
        source: spec of the data set that was read.
        options: what else was asked for.
        codec: spec of the tokens' codec.
        shards: of each shard that is done, by name: its tokens, the documents that begin in it,
            the crc32 of its text.
        complete: whether all are done.
    """

    source: Spec
    options: Mapping[str, object]
    codec: Spec
    shards: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    complete: bool = False

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Of the tokens."""
        return np.dtype(token_type(cast(TextCodec, CODECS.build(self.codec)))).newbyteorder("<")

    def whole(self, folder: Path, name: str) -> bool:
        """Whether a shard's files are there in the size that the index says."""
        tokens, documents = self.files(folder, name)
        try:
            sizes = tokens.stat().st_size, len(np.load(documents))
        except (OSError, ValueError, EOFError):
            return False
        shard = self.shards[name]
        return sizes == (shard["tokens"] * self.dtype.itemsize, shard["documents"])

    @staticmethod
    def files(folder: Path, name: str) -> tuple[Path, Path]:
        """Where a shard's tokens and its documents' starts lie."""
        return folder / f"{name}.bin", folder / f"{name}.documents.npy"


def read_index(folder: Path) -> Index:
    """The index of a folder.

    Raises:
        ValueError: it is none.
    """
    path = folder / INDEX_FILE
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts.pop("format") != FORMAT:
            raise ValueError("another format")
        del facts["dtype"]
        return Index(**facts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no index of tokenised text ({error!r}); make one with training.tokenise "
            "in a new folder."
        ) from error


def local_spec(spec: Spec, paths: Sequence[str]) -> dict[str, object]:
    """The spec of what lies at `paths`, read as a data set of `spec` would be read.

    Args:
        spec: of a preset's data set, or of one that a model was trained on.
        paths: files or folders; or the one folder of shards.
    """
    if len(paths) == 1 and (Path(paths[0]) / INDEX_FILE).is_file():
        folder = Path(paths[0])
        known = {"source": read_index(folder).source, "fingerprint": _fingerprint(folder)}
        return {"name": "shards", "folder": paths[0], **known}
    spec = spec.get("source", spec)
    local = DATASETS[spec["name"]].local
    own = spec if spec["name"] == local else {"name": local}
    return {**own, "paths": list(paths)}


def _fingerprint(folder: Path) -> int:
    """Another number for other texts, options or another tokenizer; the index tells the first."""
    files = [folder / INDEX_FILE, *sorted(folder.glob("tokenizer.json"))]
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


@DATASETS.register("shards")
class Shards:
    """A folder that `training.tokenise` has written.

    Args:
        folder: where index.json lies.
        source: spec of the data set behind it, so that a run's config tells it.
        fingerprint: of the folder, so that a run notices when it is another one.

    Raises:
        ValueError: the folder is unfinished, damaged or another one than is meant.
    """

    local: ClassVar[str] = "text"
    streamed = False

    def __init__(
        self, folder: str = "", source: Spec | None = None, fingerprint: int | None = None
    ) -> None:
        self.folder = Path(folder)
        self.index = read_index(self.folder)
        if not self.index.complete:
            raise ValueError(
                f"{folder} is not finished; run the training.tokenise command that began it again."
            )
        if fingerprint not in (None, _fingerprint(self.folder)):
            raise ValueError(
                f"{folder} was made anew since; give it with --data, and another --out."
            )
        for name in self.index.shards:
            if not self.index.whole(self.folder, name):
                raise ValueError(
                    f"shard {name} in {folder} is missing or damaged: its size is not what "
                    f"{INDEX_FILE} says. Run the training.tokenise command that made the folder "
                    "again, which makes this shard anew."
                )

    def codec(self, spec: Spec) -> TextCodec:
        """The codec of the tokens, for windows of the length in `spec`.

        Raises:
            ValueError: `spec` is of another kind of codec.
        """
        own = {**self.index.codec, "length": spec["length"]}
        sized = {**spec, **{key: own[key] for key in spec.keys() & {"vocab_size"} & own.keys()}}
        if sized != own:
            raise ValueError(
                f"{self.folder} holds tokens of codec {self.index.codec}, and {dict(spec)} is "
                "asked for; choose the preset that the folder was made with, or tokenise anew."
            )
        return cast(TextCodec, CODECS.build(own, folder=self.folder))

    def tokens(self, split: Split) -> "ShardedTokens":
        """All tokens of a split, on the disk."""
        return ShardedTokens(self.folder, self.index, self._names(split))

    def documents(self, split: Split) -> Iterator[str]:
        """The documents of a split, out of their tokens again."""
        codec, tokens = self.codec({"length": 1, **self.index.codec}), self.tokens(split)
        starts = [self._starts(name) for name in self._names(split)]
        begins = np.concatenate(
            [s + b for s, b in zip(starts, tokens.begins, strict=False)] or [[]]
        )
        for start, stop in pairwise([*begins.astype(int).tolist(), len(tokens)]):
            own = tokens[start:stop].astype(np.int64)
            end = len(own) - (own[-1] == codec.end_of_text)
            yield codec.decode(torch.from_numpy(own[:end]))

    def _names(self, split: Split) -> list[str]:
        return sorted(name for name in self.index.shards if name.startswith(f"{split}-"))

    def _starts(self, name: str) -> np.ndarray:
        return cast(np.ndarray, np.load(self.index.files(self.folder, name)[1]))


class ShardedTokens:
    """The tokens of several shards, one behind the other, read from the disk where they are needed.

    Args:
        folder: where the shards lie.
        index: theirs.
        names: of the shards, in order.
    """

    def __init__(self, folder: Path, index: Index, names: Sequence[str]) -> None:
        self._files = [index.files(folder, name)[0] for name in names]
        self._dtype = index.dtype
        sizes = [index.shards[name]["tokens"] for name in names]
        self.begins = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self._map = lru_cache(OPEN_SHARDS)(self._open)

    def _open(self, shard: int) -> np.ndarray:
        return np.memmap(self._files[shard], self._dtype, mode="r")

    def __len__(self) -> int:
        return int(self.begins[-1])

    def __getitem__(self, places: slice, /) -> np.ndarray:
        start, stop, _ = places.indices(len(self))
        first, last = np.searchsorted(self.begins, [start, stop - 1], side="right") - 1
        parts = []
        for shard in range(first, last + 1):
            begin = self.begins[shard]
            parts.append(self._map(shard)[max(0, start - begin) : stop - begin])
        return np.concatenate(parts)
