"""Text with holes: [MASK] is a masked token, and [[words]] are masked words.

[[words|3]] masks three tokens, however many the words themselves have.
"""

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mdcore.codecs import HOLE, TextCodec

NOTATION = re.compile(r"\[MASK\]|\[\[([^\[\]]*?)(?:\|(\d{1,4}))?\]\]")


@dataclass(frozen=True, slots=True)
class Hole:
    """Masks side by side that belong together.

    Attributes:
        start: position of the first.
        count: how many.
        words: what they hide; "" if nothing was there.
    """

    start: int
    count: int
    words: str = ""


@dataclass(frozen=True)
class Canvas:
    """A text as the model gets it.

    Attributes:
        tokens: (n,) long; what is not the mask is given.
        holes: in order; together they are all masks.
    """

    tokens: Tensor
    holes: tuple[Hole, ...]


def read_canvas(text: str, codec: TextCodec) -> Canvas:
    """The tokens of a text with holes; a hole takes the space before it where tokens hold theirs.

    Raises:
        ValueError: the text is too long or has unknown characters.
    """
    parts: list[tuple[str, int] | Hole] = []
    holes: list[Hole] = []
    end = 0
    takes_space = codec.loosen(f" {HOLE}") == HOLE
    for match in NOTATION.finditer(text):
        before = text[end : match.start()]
        hole = _hole(match, " " if takes_space and before.endswith(" ") else "", codec)
        touches = not before and holes and not holes[-1].words and not hole.words
        if touches:
            holes[-1] = replace(holes[-1], count=holes[-1].count + hole.count)
        else:
            holes.append(hole)
        parts += [(before.removesuffix(" ") if takes_space else before, end), hole]
        end = match.end()
    masked = sum(hole.count for hole in holes)
    if masked > codec.length:  # before so many masks are built
        raise ValueError(
            f"{masked:,} masked tokens; this model reads {codec.length:,}. "
            f"Shorten the holes by about {masked - codec.length:,} tokens."
        )
    pieces = [_tokens(part, codec) for part in [*parts, (text[end:], end)]]
    tokens = codec.fit(torch.cat(pieces))
    return Canvas(tokens, _placed(holes, tokens == codec.vocab_size))


def _hole(match: re.Match[str], space: str, codec: TextCodec) -> Hole:
    if match[1] is None:
        return Hole(0, 1)
    words = match[1].encode("utf-8", "replace").decode()  # never half a surrogate pair
    if match[2]:
        return Hole(0, max(1, int(match[2])), words)
    try:
        count = len(codec.tokenize(space + words))
    except ValueError:  # characters the model does not know may well be replaced
        count = len(words)
    return Hole(0, max(1, count), words)


def _tokens(part: tuple[str, int] | Hole, codec: TextCodec) -> Tensor:
    """Of a hole, or of given text and its place in the whole, which messages name."""
    if isinstance(part, Hole):
        return torch.full((part.count,), codec.vocab_size)
    return codec.tokenize(*part)


def _placed(holes: list[Hole], masked: Tensor) -> tuple[Hole, ...]:
    positions = masked.nonzero()[:, 0].tolist()
    counts = torch.tensor([0, *(hole.count for hole in holes)])
    firsts = counts.cumsum(0).tolist()
    return tuple(
        replace(hole, start=positions[first]) for hole, first in zip(holes, firsts, strict=False)
    )
