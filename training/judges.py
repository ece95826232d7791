"""Judges of samples: how good they look to a model that was trained apart from what drew them."""

import abc
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mdcore.autoregressive import Autoregressive
from mdcore.checkpoint import load_any_checkpoint
from mdcore.codecs import Codec, TextCodec
from mdcore.evaluation import Estimate, estimate


class Judge(abc.ABC):
    """Says how good samples are.

    Attributes:
        unit: of the quality, less of which is better.
        length: tokens of a sample.
    """

    unit: str
    length: int

    @abc.abstractmethod
    def quality(self, samples: Tensor) -> Estimate:
        """Of samples (n, length) long in the tokens of the model that drew them, n >= 2."""


class Scorer(Judge):
    """Bits per character that a causal model needs for the text of the samples.

    A text longer than the scorer reads is cut into parts, each read on its own.

    Args:
        model: the scorer, in evaluation mode.
        own: text <-> the scorer's tokens.
        codec: text <-> the samples' tokens.
    """

    unit = "bits per character"

    def __init__(self, model: Autoregressive, own: TextCodec, codec: TextCodec) -> None:
        self.model, self.own, self.codec = model, own, codec
        self.length = codec.length

    @torch.no_grad()
    def quality(self, samples: Tensor) -> Estimate:
        """The mean over samples of bits per character.

        Raises:
            ValueError: the scorer does not know the samples' characters.
        """
        return estimate([self._bits(self.codec.decode(sample)) for sample in samples])

    def _bits(self, text: str) -> float:
        device = next(self.model.parameters()).device
        parts = torch.split(self.own.tokenize(text).to(device), self.own.length)
        nats = sum(self.model.nats(part[None]).item() for part in parts)
        return nats / math.log(2) / max(1, len(text))


def read_judge(folder: Path, codec: Codec[Any], device: torch.device) -> Judge:
    """The judge in a checkpoint, for samples in a codec's tokens.

    Raises:
        ValueError: it is no judge of such samples.
    """
    checkpoint = load_any_checkpoint(folder, device=device)
    match checkpoint.model, checkpoint.codec, codec:
        case Autoregressive() as model, TextCodec() as own, TextCodec():
            return Scorer(model, own, codec)
    raise ValueError(
        f"{folder} is no autoregressive model of text, or the samples are no text; train one with "
        "`python -m training.train scorer`."
    )
