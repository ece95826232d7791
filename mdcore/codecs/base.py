"""What every codec offers, and the registry they enter."""

from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor

from mdcore.registry import Registry, Spec

Raw = TypeVar("Raw")


class Codec(Protocol[Raw]):
    """Raw data <-> tokens in [0, vocab_size], of which vocab_size is the mask.

    Attributes:
        vocab_size: V.
        length: most tokens of an example, L.
    """

    vocab_size: int
    length: int

    @property
    def shape(self) -> tuple[int, ...]:
        """How tokens lie: (L,) for text, (height, width, tokens a pixel) for images."""
        ...

    def encode(self, raw: Raw) -> Tensor:
        """Tokens of one example, (n,) long with n <= length; a hole becomes vocab_size."""
        ...

    def decode(self, tokens: Tensor) -> Raw:
        """The raw data of (n,) tokens; a mask becomes a hole."""
        ...

    def save(self, folder: Path) -> None:
        """Write the files that the codec needs beside its config, if any."""
        ...

    def learned(self) -> Spec:
        """The options of its spec that were found from data, if any."""
        ...


CODECS: "Registry[Codec[Any]]" = Registry("codec")


def check_range(tokens: Tensor, vocab_size: int) -> None:
    """Refuse tokens that are not the codec's.

    Raises:
        ValueError: a token lies outside [0, vocab_size].
    """
    bad = tokens[(tokens < 0) | (tokens > vocab_size)]
    if len(bad):
        raise ValueError(
            f"token {bad[0].item()} lies outside [0, {vocab_size}]; is this another codec's?"
        )
