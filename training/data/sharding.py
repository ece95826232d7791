"""Documents into shards of tokens, by several processes; what was interrupted is gone on with.

Which text a shard holds depends on the text and the options alone, never on the number of
processes or on where a run was stopped. Each file appears under its name whole or not at all, and
the index names a shard only after its files are there.
"""

import dataclasses
import json
import os
import signal
import threading
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache, partial
from itertools import groupby
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from mdcore.codecs import CODECS, TextCodec
from training.data.local import BEFORE_SPACE, BLOCK, cut
from training.data.shards import FORMAT, INDEX_FILE, Index
from training.data.source import Source, Split
from training.data.windows import encode

GRAIN = 2**18
"""Characters that a process is given at a time."""
SPLITS: tuple[Split, ...] = ("train", "validation")


class Piece(NamedTuple):
    """A part of a document that fits in memory."""

    text: str
    starts: bool
    ends: bool


class Task(NamedTuple):
    """Pieces for one process, and where they belong.

    Attributes:
        shard: a name.
        pieces: about GRAIN characters.
        read: characters up to the end of them, in both splits together.
    """

    shard: str
    pieces: list[Piece]
    read: int


class Tokenised(NamedTuple):
    """A task and its result: tokens, and where among them documents start."""

    task: Task
    tokens: np.ndarray
    starts: np.ndarray


@runtime_checkable
class InPieces(Protocol):
    """A source that need not hold a document in memory."""

    def pieces(self, split: Split) -> Iterator[Iterator[str]]:
        """The documents of a split, each in pieces."""
        ...


def in_pieces(source: Source, split: Split) -> Iterator[Iterator[str]]:
    """The documents of a split, each in pieces."""
    if isinstance(source, InPieces):
        return source.pieces(split)
    return map(_cut_document, source.documents(split))


def _cut_document(document: str) -> Iterator[str]:
    blocks = (document[start : start + BLOCK] for start in range(0, len(document), BLOCK))
    return cut(blocks, BEFORE_SPACE)


def _pieces(source: Source, split: Split) -> Iterator[Piece]:
    """The documents one after the other; empty ones are left out."""
    for document in in_pieces(source, split):
        rest = filter(None, document)
        text, starts = next(rest, ""), True
        for following in rest:
            yield Piece(text, starts, ends=False)
            text, starts = following, False
        if text:
            yield Piece(text, starts, ends=True)


def tokenise(
    source: Source, index: Index, folder: Path, *, shard_characters: int, workers: int
) -> Iterator[int]:
    """Write the shards that the index does not name yet, and the index after each.

    Args:
        source: of documents.
        index: of the folder as it is; its codec's tokenizer.json lies there, if it has one.
        folder: for the files.
        shard_characters: characters after which a new shard begins.
        workers: processes that tokenise; one alone is this one.

    Yields:
        Characters done so far, those of shards that were there included.

    Raises:
        ValueError: the text is not that of the shards that are there, or cannot be tokenised.
    """
    spec = json.dumps(dict(index.codec))
    done = {name for name in index.shards if index.whole(folder, name)}
    index = dataclasses.replace(
        index, shards={name: index.shards[name] for name in sorted(done)}, complete=False
    )
    write_index(folder, index)
    with _pool(workers) as mapped:
        tasks = _tasks(source, index, shard_characters)
        results = mapped(partial(_tokenise, spec, folder), tasks)
        for name, parts in groupby(results, key=lambda result: result.task.shard):
            shard = yield from _write_shard(index, folder, name, parts)
            index = dataclasses.replace(index, shards={**index.shards, name: shard})
            write_index(folder, index)
    shards = {name: index.shards[name] for name in sorted(index.shards)}
    write_index(folder, dataclasses.replace(index, shards=shards, complete=True))


def write_index(folder: Path, index: Index) -> None:
    """Put index.json in place."""
    facts = {"format": FORMAT, "dtype": index.dtype.name, **dataclasses.asdict(index)}
    with written(folder / INDEX_FILE) as file:
        file.write((json.dumps(facts, indent=1) + "\n").encode())


@contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name, whole and on the disk, when the block has ended."""
    scratch = path.with_name(f".{path.name}")
    with scratch.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _tasks(source: Source, index: Index, shard_characters: int) -> Iterator[Task]:
    """The work that is left; the text of shards that are there is only looked at."""
    read = 0
    for split in SPLITS:
        numbered = _numbered(_pieces(source, split), shard_characters)
        for number, group in groupby(numbered, key=lambda pair: pair[0]):
            name, crc = f"{split}-{number:05}", 0
            for pieces in _grains(piece for _, piece in group):
                read += sum(len(piece.text) for piece in pieces)
                if name not in index.shards:
                    yield Task(name, pieces, read)
                crc = _crc(pieces, crc)
            if name in index.shards and index.shards[name]["crc32"] != crc:
                raise ValueError(
                    f"the text has changed since shard {name} was made of it; choose another "
                    "--out, or delete this one."
                )


def _numbered(pieces: Iterable[Piece], shard_characters: int) -> Iterator[tuple[int, Piece]]:
    """Each piece with the number of its shard."""
    read = 0
    for piece in pieces:
        yield read // shard_characters, piece
        read += len(piece.text)


def _grains(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces in groups of at least GRAIN characters, but for the last."""
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece.text)
        if size >= GRAIN:
            yield group
            group, size = [], 0
    if group:
        yield group


def _crc(pieces: Iterable[Piece], crc: int) -> int:
    for piece in pieces:
        crc = zlib.crc32(piece.text.encode("utf-8", "surrogatepass"), crc)
    return crc


def _write_shard(
    index: Index, folder: Path, name: str, parts: Iterable[Tokenised]
) -> Generator[int, None, dict[str, int]]:
    """Write a shard's files while its parts come; yields characters done, returns its entry."""
    tokens_file, documents_file = index.files(folder, name)
    tokens, crc, starts = 0, 0, [np.empty(0, np.int64)]
    with written(tokens_file) as file:
        for part in parts:
            file.write(part.tokens.astype(index.dtype).tobytes())
            starts.append(part.starts + tokens)
            tokens += len(part.tokens)
            crc = _crc(part.task.pieces, crc)
            yield part.task.read
    documents = np.concatenate(starts)
    with written(documents_file) as file:
        np.save(file, documents)
    return {"tokens": tokens, "documents": len(documents), "crc32": crc}


def _tokenise(spec: str, folder: Path, task: Task) -> Tokenised:
    codec = _codec(spec, folder)
    parts = [encode(piece.text, codec, ends=piece.ends) for piece in task.pieces]
    begins = np.cumsum([0, *map(len, parts)])[:-1]
    starts = begins[[piece.starts for piece in task.pieces]]
    return Tokenised(task, np.concatenate(parts), starts.astype(np.int64))


@cache
def _codec(spec: str, folder: Path) -> TextCodec:
    """The codec, read once in each process rather than sent with each task."""
    return cast(TextCodec, CODECS.build(json.loads(spec), folder=folder))


Mapped = Callable[[Callable[[Task], Tokenised], Iterator[Task]], Iterator[Tokenised]]


@contextmanager
def _pool(workers: int) -> Iterator[Mapped]:
    """A `map` by so many processes, which looks only a few items ahead."""
    if workers == 1:
        yield map
        return
    # a forked child would inherit the threads' locks of torch and of the tokenizers
    pool = ProcessPoolExecutor(workers, get_context("spawn"), initializer=_follow_parent)

    def mapped(function: Callable[[Task], Tokenised], items: Iterator[Task]) -> Iterator[Tokenised]:
        pending: deque[Future[Tokenised]] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    try:
        yield mapped
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it ends, be it by kill -9."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def end() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=end, daemon=True).start()
