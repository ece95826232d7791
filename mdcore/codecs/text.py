"""Codecs of text: characters, bytes, byte pairs. A hole is written [MASK]."""

import abc
import re
from collections.abc import Iterable
from functools import cache
from itertools import groupby
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from mdcore.codecs.base import CODECS, check_range
from mdcore.registry import Spec

HOLE = "[MASK]"
TEXT8_ALPHABET = " abcdefghijklmnopqrstuvwxyz"
TOKENIZER_FILE = "tokenizer.json"
ENDS_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")
"""What well-known tokenizers call the token behind a document."""


def _unknown(characters: list[tuple[str, int]]) -> ValueError:
    """What to say of characters and their places in the text."""
    shown = ", ".join(f"{character!r} at {place}" for character, place in characters[:8])
    more = f" and {len(characters) - 8} more" if len(characters) > 8 else ""
    return ValueError(
        f"These characters are unknown to this model: {shown}{more}. Replace or remove them."
    )


class TextCodec(abc.ABC):
    """What text codecs share: holes and the length limit.

    Attributes:
        end_of_text: the token that stands behind a document, None if there is none.
    """

    end_of_text: int | None = None

    def __init__(self, vocab_size: int, length: int) -> None:
        if length < 1:
            raise ValueError(f"length is {length}; a codec needs at least 1 token.")
        self.vocab_size = vocab_size
        self.length = length
        self.shape = (length,)

    @abc.abstractmethod
    def _encode_piece(self, text: str, start: int) -> list[int]:
        """Tokens of text without holes; `start` is its place in the whole, for messages."""

    @abc.abstractmethod
    def _decode_piece(self, tokens: list[int]) -> str:
        """Text of tokens without masks."""

    def tokenize(self, text: str, start: int = 0) -> Tensor:
        """Tokens of a text of any length, (n,) long.

        Args:
            text: with holes or without.
            start: its place in a longer one, for messages.

        Raises:
            ValueError: the text has characters that the codec does not know.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:  # half of a surrogate pair, which JSON can carry
            raise _unknown([(text[error.start], start + error.start)]) from None
        tokens: list[int] = []
        for index, piece in enumerate(text.split(HOLE)):
            if index:
                tokens.append(self.vocab_size)
                start += len(HOLE)
            tokens += self._encode_piece(piece, start)
            start += len(piece)
        return torch.tensor(tokens, dtype=torch.long)

    def encode(self, raw: str) -> Tensor:
        """Tokens of one example, (n,) long.

        Raises:
            ValueError: the text is too long or has unknown characters.
        """
        return self.fit(self.tokenize(raw))

    def fit(self, tokens: Tensor) -> Tensor:
        """The tokens, if they are no more than one example has.

        Raises:
            ValueError: they are.
        """
        if len(tokens) > self.length:
            raise ValueError(
                f"{len(tokens):,} tokens; this model reads {self.length:,}. "
                f"Shorten the text by about {len(tokens) - self.length:,} tokens."
            )
        return tokens

    def decode(self, tokens: Tensor) -> str:
        """Text of (n,) tokens; each mask is written as [MASK].

        Raises:
            ValueError: a token lies outside [0, vocab_size].
        """
        check_range(tokens, self.vocab_size)
        ids: list[int] = tokens.tolist()
        runs = groupby(ids, key=self.vocab_size.__eq__)
        return "".join(
            HOLE * len(list(run)) if masked else self._decode_piece(list(run))
            for masked, run in runs
        )

    def pieces(self, tokens: Tensor) -> list[str | bytes]:
        """Each of (n,) tokens by itself: its text, or its bytes if they are parts of characters."""
        return [self._piece(token) for token in tokens[:, None]]

    def _piece(self, token: Tensor) -> str | bytes:
        text = self.decode(token)
        raw = self._raw(int(token)) if "\N{REPLACEMENT CHARACTER}" in text else None
        if raw is None:
            return text
        try:
            return raw.decode()
        except UnicodeDecodeError:
            return raw

    def _raw(self, token: int) -> bytes | None:
        """The bytes of a token, where the codec has tokens that are no text by themselves."""
        return None

    def loosen(self, raw: str) -> str:
        """The text for infilling: a hole may cover more than the user wrote, see BPE."""
        return raw

    def save(self, folder: Path) -> None:
        """Write the files that the codec needs beside its config; most need none."""
        return

    def learned(self) -> Spec:
        """The options of its spec that were found from data; most have none."""
        return {}


@CODECS.register("characters")
class Characters(TextCodec):
    """One token a character of a fixed alphabet; text8's 27 symbols unless told otherwise."""

    def __init__(self, alphabet: str = TEXT8_ALPHABET, length: int = 256) -> None:
        if len(set(alphabet)) != len(alphabet) or not alphabet:
            raise ValueError("alphabet must be a string of at least one character, each only once.")
        super().__init__(len(alphabet), length)
        self.alphabet = alphabet
        self._ids = {character: index for index, character in enumerate(alphabet)}

    def _encode_piece(self, text: str, start: int) -> list[int]:
        unknown = [(c, start + place) for place, c in enumerate(text) if c not in self._ids]
        if unknown:
            raise _unknown(unknown)
        return [self._ids[c] for c in text]

    def _decode_piece(self, tokens: list[int]) -> str:
        return "".join(self.alphabet[token] for token in tokens)


@CODECS.register("bytes")
class Bytes(TextCodec):
    """One token a byte of UTF-8: any text, no vocabulary to train."""

    def __init__(self, length: int = 256) -> None:
        super().__init__(256, length)

    def _encode_piece(self, text: str, start: int) -> list[int]:
        return list(text.encode("utf-8"))

    def _decode_piece(self, tokens: list[int]) -> str:
        return bytes(tokens).decode("utf-8", errors="replace")

    def _raw(self, token: int) -> bytes:
        return bytes([token])


@CODECS.register("bpe")
class BPE(TextCodec):
    """Byte-pair encoding with a tokenizer.json of the tokenizers library, GPT-2's included.

    Args:
        vocab_size: number of tokens, special ones included.
        length: tokens of one example.
        folder: where tokenizer.json lies; without it the codec knows only its sizes.
    """

    def __init__(self, vocab_size: int, length: int = 256, folder: Path | None = None) -> None:
        super().__init__(vocab_size, length)
        self._tokenizer: Tokenizer | None = None
        if folder is not None:
            self._attach(read_tokenizer(folder / TOKENIZER_FILE))

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int, length: int = 256) -> "BPE":
        """A byte-level BPE learned from `texts`; encodes any text without loss."""
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        if vocab_size < len(alphabet):
            raise ValueError(
                f"vocab_size is {vocab_size}; byte-level BPE needs at least {len(alphabet)}."
            )
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls.from_tokenizer(tokenizer, length)

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer, length: int = 256) -> "BPE":
        """The codec of a tokenizer that exists already."""
        codec = cls(tokenizer.get_vocab_size(), length)
        codec._attach(tokenizer)
        return codec

    def _attach(self, tokenizer: Tokenizer) -> None:
        if tokenizer.get_vocab_size() != self.vocab_size:
            raise ValueError(
                f"the tokenizer has {tokenizer.get_vocab_size()} tokens and the config says "
                f"{self.vocab_size}; use the {TOKENIZER_FILE} that belongs to this config."
            )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        known = map(tokenizer.token_to_id, ENDS_OF_TEXT)
        self.end_of_text = next((token for token in known if token is not None), None)

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer; a ValueError if the codec was built from sizes alone."""
        if self._tokenizer is None:
            raise ValueError(
                f"this codec has no {TOKENIZER_FILE}; load it from a checkpoint's folder."
            )
        return self._tokenizer

    def _encode_piece(self, text: str, start: int) -> list[int]:
        # one text as a batch: that call alone leaves out the offsets, a third of the time
        (found,) = self.tokenizer.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = found.ids
        return ids

    def _decode_piece(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=False))

    def _raw(self, token: int) -> bytes | None:
        name = self.tokenizer.id_to_token(token) or ""
        if match := re.fullmatch("<0x([0-9A-F]{2})>", name):  # sentencepiece's notation
            return bytes.fromhex(match[1])
        byte = _byte_letters()
        return bytes(byte[letter] for letter in name) if set(name) <= byte.keys() else None

    def loosen(self, raw: str) -> str:
        """The text whose holes also cover the space before them: BPE tokens begin with theirs."""
        return raw.replace(f" {HOLE}", HOLE)

    def learned(self) -> Spec:
        """The real size of the vocabulary: little text has fewer pairs to merge."""
        return {"vocab_size": self.vocab_size}

    def save(self, folder: Path) -> None:
        """Write tokenizer.json; one that is there is replaced in one move."""
        scratch = folder / f".{TOKENIZER_FILE}"
        scratch.write_text(self.tokenizer.to_str(), encoding="utf-8")
        scratch.replace(folder / TOKENIZER_FILE)


@cache
def _byte_letters() -> dict[str, int]:
    """The letters in which byte-level BPE writes its bytes; unprintable ones come from 256 on."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    letters = {chr(256 + place): byte for place, byte in enumerate(others)}
    return letters | {chr(byte): byte for byte in printable}


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer in a tokenizer.json.

    Raises:
        ValueError: the file is missing or is not a tokenizer.
    """
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; copy it from where the model was trained.") from None
    except Exception as error:  # tokenizers raises bare Exception for whatever it cannot parse
        raise ValueError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error
