"""Backbones: networks from partly masked tokens to logits over the clean ones."""

from mdcore.backbones.layers import BACKBONES
from mdcore.backbones.transformer import Transformer

__all__ = ["BACKBONES", "Transformer"]
