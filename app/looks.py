"""How tokens look: what a player has to know of a codec to show them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from app.logic import Run
from mdcore.codecs import Codec, ImageCodec, Palette, TextCodec

Json = dict[str, Any]


def looks(run: Run) -> Json:
    """The part of a transcript's start that tells texts from images.

    Returns:
        kind: "text", or "image" with
        shape: [height, width, tokens a pixel]; a token is the value of its channel, unless there is
        palette: the colours, "rrggbb" each, of which a token is one;
        before: the tokens under the masks too, if a picture was given;
        label: name of the class, and guidance: its scale; only if a class is drawn.
    """
    codec = run.checkpoint.codec
    header: Json = {"kind": "text"}
    if isinstance(codec, ImageCodec):
        header = {"kind": "image", "shape": list(codec.shape)}
    if isinstance(codec, Palette):
        header["palette"] = [bytes(colour).hex() for colour in codec.colours]
    if isinstance(codec, ImageCodec) and isinstance(run.request.raw, np.ndarray):
        header["before"] = codec.encode(run.request.raw[..., : codec.channels]).tolist()
    if run.label is not None:
        header["label"] = run.checkpoint.config.classes[run.label]
        header["guidance"] = run.request.guidance
    return header


def pieces_of(tokens: Sequence[int], codec: Codec[Any]) -> dict[str, str | list[int]]:
    """Each of some tokens by its number: its text, or its bytes if they are parts of characters.

    {} for the tokens of images, which have no text.
    """
    if not isinstance(codec, TextCodec):
        return {}
    pieces = codec.pieces(torch.tensor(tokens, dtype=torch.long))
    told = [piece if isinstance(piece, str) else list(piece) for piece in pieces]
    return {str(token): piece for token, piece in zip(tokens, told, strict=True)}
