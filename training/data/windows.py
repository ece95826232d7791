"""Tokens into batches: windows of a fixed length."""

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from mdcore.codecs import TextCodec
from training.data.source import ALL, Examples


def read_tokens(documents: Iterable[str], codec: TextCodec) -> np.ndarray:
    """All tokens of the documents, one after the other, (n,) in the smallest integer that fits."""
    dtype = np.uint16 if codec.vocab_size < 2**16 else np.uint32
    parts = [codec.tokenize(text).numpy().astype(dtype) for text in documents]
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def read_windows(documents: Iterable[str], codec: TextCodec) -> Tensor:
    """Disjoint windows of the documents, (n, L) long; what fills no window is left out.

    A text shorter than one window is one short window by itself.

    Raises:
        ValueError: there is no text.
    """
    tokens = torch.from_numpy(read_tokens(documents, codec).astype(np.int64))
    if not len(tokens):
        raise ValueError("The text to measure on is empty; give more text.")
    length = min(codec.length, len(tokens))
    count = len(tokens) // length
    return tokens[: count * length].view(count, length)


class Windows:
    """Random windows of a text that is held in memory.

    Args:
        tokens: (n,) integers.
        length: of a window.
        batch_size: windows in a batch.
        seed: with the step, decides the windows.
        part: which of a batch's windows are wanted.

    Raises:
        ValueError: the text is shorter than one window.
    """

    def __init__(
        self,
        tokens: np.ndarray,
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
        starts = starts[self._part]
        windows = self._tokens[starts[:, None] + np.arange(self._length)]
        return Examples(torch.from_numpy(windows.astype(np.int64)))


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
                rest = torch.cat([rest, self._codec.tokenize(text)])
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
