"""What a training run is made of, and the named presets."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mdcore.checkpoint import ModelConfig
from mdcore.registry import Spec


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
        model: codec, schedule, backbone. A BPE codec is trained on the training split unless
            `tokenizer` names one.
        data: spec of a data set.
        tokenizer: a tokenizer.json, or a name on the hub, for a BPE codec.
        optimizer: spec of an optimizer.
        steps: optimizer steps.
        batch_size: examples that one optimizer step sees.
        accumulation: parts into which a batch is split to save memory.
        warmup: steps of linear warm-up; cosine decay to zero follows.
        clip: largest norm of the gradient.
        label_dropout: share of labels hidden in training, which guidance needs; 0 without classes.
        ema: decay of the averaged weights that are evaluated and saved.
        seed: of the weights, the batches, the times and the masks.
        compile: torch.compile the backbone.
        recompute: forget the activations of the backbone's blocks and make them again in the
            backward pass, to save memory.
        shard: each of several processes holds a part of weights, averages and optimizer state.
        log_every, evaluate_every, sample_every, checkpoint_every: steps between records,
            evaluations, samples and checkpoints.
        checkpoint_minutes: a checkpoint is also written when this much time has passed.
        evaluation_examples, evaluation_draws: size of an evaluation during training.
        out: folder for checkpoints, metrics and logs.
    """

    model: ModelConfig
    data: Spec
    tokenizer: str | None = None
    optimizer: Spec
    steps: int
    batch_size: int
    accumulation: int = 1
    warmup: int
    clip: float = 1.0
    label_dropout: float = 0.1
    ema: float
    seed: int = 0
    compile: bool = False
    recompute: bool = False
    shard: bool = False
    log_every: int = 10
    evaluate_every: int = 1000
    sample_every: int = 1000
    checkpoint_every: int = 1000
    checkpoint_minutes: float = 5.0
    evaluation_examples: int = 128
    evaluation_draws: int = 4
    out: Path = Path("runs/run")

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "log_every", "evaluate_every",
                     "sample_every", "checkpoint_every"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if self.evaluation_draws < 2:
            raise ValueError("evaluation_draws must be at least 2, for a standard error.")
        if self.compile and self.shard:
            raise ValueError("compile and shard cannot be combined; leave one of them out.")
        if self.batch_size % self.accumulation:
            raise ValueError(
                f"batch_size {self.batch_size} must be a multiple of accumulation "
                f"{self.accumulation}."
            )

    def describe(self) -> dict[str, object]:
        """The run as JSON, without what only says how it is held, where and how often written."""
        described = dataclasses.asdict(self)
        for key in ("out", "shard", "recompute", "log_every", "evaluate_every", "sample_every",
                    "checkpoint_every", "checkpoint_minutes"):  # fmt: skip
            del described[key]
        return described


BOOKS = TrainConfig(
    model=ModelConfig(
        codec={"name": "bpe", "vocab_size": 8192, "length": 256},
        schedule={"name": "linear"},
        backbone={"name": "transformer", "width": 320, "depth": 6, "heads": 5},
    ),
    data={"name": "books", "held_out": ["willows", "wallypug", "cuckoo"]},
    optimizer={"name": "muon"},
    steps=5600,
    batch_size=16,
    warmup=100,
    ema=0.999,
    evaluate_every=500,
    sample_every=500,
    checkpoint_every=500,
)

LETTERS = TrainConfig(
    model=ModelConfig(
        codec={"name": "characters", "length": 256},
        schedule={"name": "linear"},
        backbone={
            "name": "transformer",
            "width": 256,
            "depth": 6,
            "heads": 4,
            "time_conditioned": True,
        },
    ),
    data={"name": "letters", "held_out": ["willows", "wallypug", "cuckoo"]},
    optimizer={"name": "muon"},
    steps=3000,
    batch_size=16,
    warmup=100,
    ema=0.999,
    evaluate_every=500,
    sample_every=500,
    checkpoint_every=500,
    evaluation_examples=256,
)

OPENWEBTEXT = TrainConfig(
    model=ModelConfig(
        codec={"name": "bpe", "vocab_size": 50_257, "length": 1024},
        schedule={"name": "linear"},
        backbone={
            "name": "transformer",
            "width": 768,
            "depth": 12,
            "heads": 12,
            "dropout": 0.02,
        },
    ),
    data={
        "name": "hub",
        "repository": "Skylion007/openwebtext",
        "streamed": True,
        "validation_rows": 1000,
    },
    tokenizer="gpt2",
    optimizer={"name": "adamw", "learning_rate": 3e-4, "weight_decay": 0.03},
    steps=1_000_000,
    batch_size=512,
    accumulation=16,
    warmup=2000,
    ema=0.9999,
)

PRESETS: dict[str, TrainConfig] = {
    "childrens-books": BOOKS,
    "letters-md4": LETTERS,
    "letters-genmd4": dataclasses.replace(
        LETTERS,
        model=dataclasses.replace(LETTERS.model, schedule={"name": "learned_polynomial"}),
    ),
    "scorer": dataclasses.replace(
        BOOKS,
        model=ModelConfig(
            codec={"name": "bpe", "vocab_size": 4096, "length": 256},
            backbone={"name": "transformer", "width": 256, "depth": 6, "heads": 4},
            objective={"name": "autoregressive"},
        ),
        steps=2000,
    ),
    "text8": TrainConfig(
        model=ModelConfig(
            codec={"name": "characters", "length": 256},
            schedule={"name": "linear"},
            backbone={
                "name": "transformer",
                "width": 768,
                "depth": 12,
                "heads": 12,
                "dropout": 0.05,
            },
        ),
        data={"name": "hub", "repository": "afmck/text8", "validation": "validation"},
        optimizer={"name": "adamw", "learning_rate": 3e-4, "weight_decay": 0.03},
        steps=1_000_000,
        batch_size=512,
        warmup=2000,
        ema=0.9999,
    ),
    "openwebtext": OPENWEBTEXT,
    "openwebtext-medium": dataclasses.replace(
        OPENWEBTEXT,
        model=dataclasses.replace(
            OPENWEBTEXT.model,
            backbone={**OPENWEBTEXT.model.backbone, "width": 1024, "depth": 24, "heads": 16},
        ),
    ),
    "mnist": TrainConfig(
        model=ModelConfig(
            codec={"name": "pixels", "height": 28, "width": 28, "channels": 1},
            schedule={"name": "linear"},
            backbone={"name": "unet", "widths": [32, 128, 192], "blocks": [1, 2, 2]},
        ),
        data={"name": "hub_pictures", "repository": "ylecun/mnist"},
        optimizer={"name": "muon"},
        steps=6000,
        batch_size=64,
        warmup=100,
        ema=0.999,
        evaluate_every=500,
        sample_every=500,
        checkpoint_every=500,
        evaluation_examples=500,
        evaluation_draws=2,
    ),
    "emoji": TrainConfig(
        model=ModelConfig(
            codec={"name": "palette", "height": 32, "width": 32, "colours": 64},
            schedule={"name": "linear"},
            backbone={
                "name": "unet",
                "widths": [32, 80, 128],
                "blocks": [1, 1, 2],
                "dropout": 0.1,
            },
        ),
        data={"name": "pictures", "exclude": "skin", "flip": True, "shift": 2},
        optimizer={"name": "muon"},
        steps=4000,
        batch_size=32,
        warmup=100,
        ema=0.999,
        evaluate_every=500,
        sample_every=500,
        checkpoint_every=500,
        evaluation_examples=200,
        evaluation_draws=2,
    ),
    "cifar10": TrainConfig(
        model=ModelConfig(
            codec={"name": "pixels", "height": 32, "width": 32, "channels": 3},
            schedule={"name": "cosine"},
            backbone={
                "name": "unet",
                "widths": [128],
                "blocks": [32],
                "middle_depth": 1,
                "dropout": 0.1,
                "time_conditioned": True,
                "condition_width": 96,  # not in the paper; with it, its 28M parameters
            },
        ),
        data={
            "name": "hub_pictures",
            "repository": "uoft-cs/cifar10",
            "image": "img",
        },
        optimizer={"name": "adamw", "learning_rate": 4e-4, "weight_decay": 0.01},
        steps=2_000_000,
        batch_size=256,
        warmup=100,
        ema=0.9999,
    ),
    "imagenet64": TrainConfig(
        model=ModelConfig(
            codec={"name": "pixels", "height": 64, "width": 64, "channels": 3},
            schedule={"name": "cosine"},
            backbone={
                "name": "unet",
                "widths": [256],
                "blocks": [24],
                "middle_depth": 12,
                "middle_width": 768,
                "middle_heads": 12,
                "middle_patch": 2,
                "time_conditioned": True,
                "condition_width": 400,  # not in the paper; with it, its 198M parameters
            },
        ),
        data={
            "name": "hub_pictures",
            "repository": "benjamin-paine/imagenet-1k-64x64",
            "validation": "validation",
        },
        optimizer={"name": "adamw", "learning_rate": 2e-4, "weight_decay": 0.01},
        steps=2_000_000,
        batch_size=512,
        accumulation=16,
        warmup=100,
        ema=0.9999,
    ),
}
