"""Codecs: raw data <-> tokens. A hole is part of the notation, both ways.

In text a hole is written [MASK], in an image it is a transparent pixel; as a token it is the mask
id, which is the vocabulary's size.
"""

from mdcore.codecs.base import CODECS, Codec
from mdcore.codecs.image import ImageCodec, Palette, Pixels, fit_picture, picture_of, punch
from mdcore.codecs.text import (
    BPE,
    HOLE,
    TEXT8_ALPHABET,
    TOKENIZER_FILE,
    Bytes,
    Characters,
    TextCodec,
    read_tokenizer,
)

__all__ = [
    "BPE",
    "CODECS",
    "HOLE",
    "TEXT8_ALPHABET",
    "TOKENIZER_FILE",
    "Bytes",
    "Characters",
    "Codec",
    "ImageCodec",
    "Palette",
    "Pixels",
    "TextCodec",
    "fit_picture",
    "picture_of",
    "punch",
    "read_tokenizer",
]
