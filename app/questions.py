"""What the player asks: how a text becomes tokens, what a mask may hide, a run as a GIF."""

import base64
import uuid
from threading import Lock
from typing import Any

import torch

from app.animation import animate
from app.lane import Lane
from app.logic import described, prepare
from app.looks import pieces_of
from app.replay import read_transcript
from app.shelf import Shelf
from app.state import Settings
from mdcore.codecs import HOLE

MAX_TYPED = 2_000
PATIENCE = 20.0  # seconds
OPENING = "\"'“‘«(["

Json = dict[str, Any]


def spell(shelf: Shelf, text: object, model: object) -> list[Json]:
    """The ways to write a text in a gap, the likelier one first: text, tokens and their pieces.

    Where tokens hold the space before a word there are two, with that space and without it.

    Raises:
        ValueError: this is no text, or the model does not know its characters.
    """
    if not isinstance(text, str) or not isinstance(model, str):
        raise ValueError("The text and the model's name must be strings.")
    if len(text) > MAX_TYPED:
        raise ValueError(f"{len(text):,} characters; type at most {MAX_TYPED:,} here.")
    if HOLE in text:
        raise ValueError(f"{HOLE} is no text: what is not typed here stays masked.")
    if not text:
        return []
    codec = shelf.text_codec(model)
    texts = [text]
    if codec.loosen(f" {HOLE}") == HOLE and not text[0].isspace():
        begins_a_word = text[0].isalnum() or text[0] in OPENING
        texts.insert(0 if begins_a_word else 1, f" {text}")
    spelled = [(option, codec.tokenize(option)) for option in texts]
    return [
        {"text": option, "tokens": tokens.tolist(), "w": pieces_of(tokens.tolist(), codec)}
        for option, tokens in spelled
    ]


@torch.no_grad()
def outlook(shelf: Shelf, lane: Lane, frame: object, position: object) -> Json:
    """What the model would put at one masked position of a frame: entropy and candidates.

    Raises:
        ValueError: the frame or the position is not one, or the model is busy for long.
    """
    request = Settings().resume(frame)
    draft = request.draft
    if draft is None or not isinstance(position, int) or isinstance(position, bool):
        raise ValueError("Give the position of a mask.")
    if not 0 <= position < len(draft.tokens) or draft.tokens[position] is not None:
        raise ValueError(f"Position {position} is not masked. Mask its token first.")
    with lane.join(uuid.uuid4().hex) as ticket:
        if ticket.wait(PATIENCE):
            raise ValueError("The model is busy. Try again when the run has ended.")
        run = prepare(shelf, request)
        select = torch.zeros_like(run.z, dtype=torch.bool)
        select[0, position] = True
        t = run.times[:1].float().to(run.z.device)
        logits = run.model(run.z, t, run.condition, select=select)
    if logits.isnan().any():
        raise ValueError("The model returned NaN. Start with --dtype float32.")
    ((entropy, candidates),) = described(logits.log_softmax(-1))
    words = pieces_of([token for token, _ in candidates], run.checkpoint.codec)
    shown = [[token, round(log_p, 4)] for token, log_p in candidates]
    return {"entropy": round(entropy, 2), "candidates": shown, "w": words}


def draw(transcript: object, pen: Lock) -> Json:
    """A run as a moving picture: {"gif": in base64}.

    Args:
        transcript: as the player has it.
        pen: held while drawing, so that there is memory for but one picture.

    Raises:
        ValueError: this is no run, it has no steps, or many pictures are asked for at once.
    """
    lines = read_transcript(transcript)
    if not pen.acquire(timeout=PATIENCE):
        raise ValueError("Others are having their pictures drawn. Try again in a moment.")
    try:
        return {"gif": base64.b64encode(animate(lines)).decode()}
    finally:
        pen.release()
