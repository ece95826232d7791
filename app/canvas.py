"""What a run begins with: tokens and masks, of a text or an image with holes, or of a frame."""

import math
from bisect import bisect_left
from dataclasses import replace

import numpy as np
import torch

from app.holes import Canvas, read_canvas
from app.state import Draft, Request
from mdcore.checkpoint import Checkpoint
from mdcore.codecs import ImageCodec, TextCodec
from mdcore.schedules import MaskingSchedule


def first_canvas(request: Request, checkpoint: Checkpoint) -> Canvas:
    """The tokens of what was asked for.

    Raises:
        ValueError: the model cannot read it, or nothing is masked.
    """
    match checkpoint.codec, request.draft, request.raw:
        case _, Draft() as draft, _:
            return _frame_canvas(draft, checkpoint)
        case TextCodec() as codec, _, str() as text:
            return _text_canvas(text, codec, fill=request.fill)
        case ImageCodec() as codec, _, (None | np.ndarray()) as pixels:
            return _image_canvas(pixels, codec)
    raise ValueError(f"A {request.kind} cannot be given to a model of another kind.")


def _image_canvas(pixels: np.ndarray | None, codec: ImageCodec) -> Canvas:
    if pixels is None:
        return Canvas(torch.full((codec.length,), codec.vocab_size), ())
    tokens = codec.encode(pixels)
    if not (tokens == codec.vocab_size).any():
        raise ValueError(
            "Nothing is masked, so there is nothing to fill in. Paint over pixels first."
        )
    return Canvas(tokens, ())


def _text_canvas(text: str, codec: TextCodec, *, fill: bool) -> Canvas:
    mask_id = codec.vocab_size
    canvas = read_canvas(text, codec)
    if fill:
        masks = torch.full((codec.length - len(canvas.tokens),), mask_id)
        canvas = replace(canvas, tokens=torch.cat([canvas.tokens, masks]))
    if not (canvas.tokens == mask_id).any() and fill:
        raise ValueError(
            f"The prompt fills all {codec.length:,} tokens, so there is nothing left to write. "
            "Shorten it."
        )
    if not (canvas.tokens == mask_id).any():
        raise ValueError(
            "Nothing is masked, so there is nothing to fill in. Select words and press M."
        )
    return canvas


def _frame_canvas(draft: Draft, checkpoint: Checkpoint) -> Canvas:
    mask_id, length = checkpoint.model.mask_id, checkpoint.codec.length
    whole = isinstance(checkpoint.codec, ImageCodec)  # a text may be shorter
    if len(draft.tokens) > length or (whole and len(draft.tokens) < length):
        raise ValueError(
            f"This frame has {len(draft.tokens):,} tokens; this model reads {length:,}. Go on with "
            "the model that made it."
        )
    wrong = next((k for k, token in enumerate(draft.tokens) if (token or 0) >= mask_id), None)
    if wrong is not None:
        raise ValueError(
            f"Token {draft.tokens[wrong]:,} at position {wrong:,} is unknown to this model, which "
            f"has {mask_id:,} tokens. Go on with the model that made it."
        )
    if None not in draft.tokens:
        raise ValueError(
            "Nothing is masked at this step, so there is nothing to go on with. Mask a token "
            "again, or go back to an earlier step."
        )
    tokens = [mask_id if token is None else token for token in draft.tokens]
    return Canvas(torch.tensor(tokens), ())


def frame_time(draft: Draft, schedule: MaskingSchedule) -> float:
    """The time of a frame, or a later one (1 is all masks) if it has far more masks than expected.

    One expects the masked share of what is not given to be 1 - alpha; up to three standard
    deviations more count as chance.
    """
    masked, free = draft.tokens.count(None), len(draft.tokens) - len(draft.given)
    grid = torch.linspace(0, 1, 1025, dtype=torch.float64)
    times = torch.cat([grid.new_tensor([draft.t]), grid])
    share, *hidden = schedule.hidden(times).mean(-1).tolist()
    if masked / free <= share + 3 * math.sqrt(share * max(0.0, 1 - share) / free):
        return draft.t
    return grid[max(1, min(len(grid) - 1, bisect_left(hidden, masked / free)))].item()
