"""Tokens into batches: windows of a fixed length.

Documents are packed end to end, with the codec's end-of-text token behind each if it has one. A
window may run over the border of two documents, and it is that token that tells the model.
Attention is not cut there: a position would see that it is the last of its document even where the
token is masked, and what is measured would no longer bound the likelihood.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mdcore.codecs import TextCodec
from training.data.source import ALL, Examples


class Tokens(Protocol):
    """(n,) integers: an array, or what reads like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, places: slice, /) -> np.ndarray: ...


def encode(text: str, codec: TextCodec, *, ends: bool = True) -> np.ndarray:
    """Tokens of a document, or of a piece of one, (n,) in the smallest integer that fits.

    Args:
        text: the piece.
        codec: of the tokens.
        ends: the document ends with it, and is followed by the end-of-text token, if there is one.
    """
    tokens = codec.tokenize(text).numpy().astype(token_type(codec))
    if text and ends and codec.end_of_text is not None:
        return np.append(tokens, tokens.dtype.type(codec.end_of_text))
    return tokens


def token_type(codec: TextCodec) -> type[np.unsignedinteger]:
    """The smallest integer that holds every token and the mask."""
    return np.uint16 if codec.vocab_size < 2**16 else np.uint32


def read_tokens(documents: Iterable[str], codec: TextCodec) -> np.ndarray:
    """All tokens of the documents, one after the other, (n,) in the smallest integer that fits."""
    parts = [encode(text, codec) for text in documents]
    return np.concatenate(parts) if parts else np.empty(0, token_type(codec))


def read_windows(documents: Iterable[str], codec: TextCodec) -> Tensor:
    """Disjoint windows of the documents, (n, L) long; see `disjoint`."""
    return disjoint(read_tokens(documents, codec), codec.length)


def disjoint(tokens: Tokens, length: int, most: int | None = None) -> Tensor:
    """Disjoint windows, (n, L) long; what fills no window is left out.

    A text shorter than one window is one short window by itself.

    Args:
        tokens: to be cut.
        length: L.
        most: how many windows are wanted, spread evenly; all of them if None.

    Raises:
        ValueError: there is no text.
    """
    if not len(tokens):
        raise ValueError("The text to measure on is empty; give more text.")
    length = min(length, len(tokens))
    starts = spread(len(tokens) // length, most).numpy() * length
    return torch.from_numpy(_cut(tokens, starts, length))


def spread(count: int, most: int | None) -> Tensor:
    """Numbers below `count`, spread evenly: at most so many of them, (n,) long."""
    return torch.linspace(0, count - 1, min(count, most or count), dtype=torch.float64).long()


def _cut(tokens: Tokens, starts: np.ndarray, length: int) -> np.ndarray:
    """Windows (n, L) int64 that begin at `starts`."""
    return np.stack([tokens[start : start + length] for start in starts]).astype(np.int64)


class Windows:
    """Random windows of a text in memory or on disk.

    Args:
        tokens: the text.
        length: of a window.
        batch_size: windows in a batch.
        seed: with the step, decides the windows.
        part: which of a batch's windows are wanted.

    Raises:
        ValueError: the text is shorter than one window.
    """

    def __init__(
        self,
        tokens: Tokens,
        *,
        length: int,
        batch_size: int,
        seed: int,
        part: slice = ALL,
    ) -> None:
        if len(tokens) < length:
            raise ValueError(
                f"The training text has {len(tokens)} tokens, fewer than one window of {length}. "
                "Give more text or choose a preset with a shorter length."
            )
        self._tokens = tokens
        self._length = length
        self._batch_size = batch_size
        self._seed = seed
        self._part = part

    def batch(self, step: int) -> Examples:
        """This step's batch, or the part of it that is wanted."""
        random = np.random.default_rng([self._seed, step])
        starts = random.integers(0, len(self._tokens) - self._length + 1, self._batch_size)
        return Examples(torch.from_numpy(_cut(self._tokens, starts[self._part], self._length)))


class StreamedWindows:
    """Windows of a stream of documents, in its order, each token once an epoch.

    Steps are taken one after the other; another step restarts the stream and skips to it.
    """

    def __init__(self, open_documents: "OpenDocuments", codec: TextCodec, batch_size: int) -> None:
        self._open = open_documents
        self._codec = codec
        self._batch_size = batch_size
        self._next_step = 0
        self._windows = self._stream()

    def batch(self, step: int) -> Examples:
        """This step's batch."""
        if step != self._next_step:
            self._windows, self._next_step = self._stream(), 0
            while self._next_step < step:
                self._take()
        return Examples(self._take())

    def _take(self) -> Tensor:
        self._next_step += 1
        return torch.stack([next(self._windows) for _ in range(self._batch_size)])

    def _stream(self) -> Iterator[Tensor]:
        rest = torch.empty(0, dtype=torch.long)
        length = self._codec.length
        while True:
            found = False
            for text in self._open():
                tokens = encode(text, self._codec).astype(np.int64)
                rest = torch.cat([rest, torch.from_numpy(tokens)])
                while len(rest) >= length:
                    found = True
                    yield rest[:length]
                    rest = rest[length:]
            if not found:
                raise ValueError(f"The stream holds fewer than the {length} tokens of one window.")


class OpenDocuments(Protocol):
    """Starts the stream of documents afresh."""

    def __call__(self) -> Iterator[str]:
        """The documents from the first on."""
        ...
