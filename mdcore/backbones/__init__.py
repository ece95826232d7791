"""Backbones: networks from partly masked tokens to logits over the clean ones."""

from mdcore.backbones.layers import BACKBONES
from mdcore.backbones.transformer import Transformer
from mdcore.backbones.unet import UNet

__all__ = ["BACKBONES", "Transformer", "UNet"]
