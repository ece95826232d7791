"""Masked diffusion on discrete data: MD4 and GenMD4, for text and for images."""

from mdcore.autoregressive import Autoregressive
from mdcore.backbones import BACKBONES
from mdcore.checkpoint import (
    Checkpoint,
    ModelConfig,
    build_model,
    load_any_checkpoint,
    load_checkpoint,
    save_checkpoint,
)
from mdcore.codecs import CODECS, Codec
from mdcore.diffusion import MD4, Denoiser, GenMD4, score, score_to_logits
from mdcore.evaluation import Estimate, bits_per_token
from mdcore.filters import FILTERS
from mdcore.guidance import ClassifierFreeGuidance, guided
from mdcore.hardware import matmul_dtype, pick_device
from mdcore.objectives import OBJECTIVES, Model
from mdcore.pacing import paced
from mdcore.registry import Registry, Spec
from mdcore.sampling import SAMPLERS, Sampler, Start, Step
from mdcore.schedules import SCHEDULES, MaskingSchedule

__all__ = [
    "BACKBONES",
    "CODECS",
    "FILTERS",
    "MD4",
    "OBJECTIVES",
    "SAMPLERS",
    "SCHEDULES",
    "Autoregressive",
    "Checkpoint",
    "ClassifierFreeGuidance",
    "Codec",
    "Denoiser",
    "Estimate",
    "GenMD4",
    "MaskingSchedule",
    "Model",
    "ModelConfig",
    "Registry",
    "Sampler",
    "Spec",
    "Start",
    "Step",
    "bits_per_token",
    "build_model",
    "guided",
    "load_any_checkpoint",
    "load_checkpoint",
    "matmul_dtype",
    "paced",
    "pick_device",
    "save_checkpoint",
    "score",
    "score_to_logits",
]
