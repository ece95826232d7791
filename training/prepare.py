"""From a config to what the loop needs: the codec, the batches, the validation examples."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer
from torch import Tensor

from mdcore.codecs import (
    BPE,
    CODECS,
    TOKENIZER_FILE,
    Codec,
    ImageCodec,
    Palette,
    TextCodec,
    read_tokenizer,
)
from mdcore.registry import Spec
from training.config import TrainConfig
from training.data import (
    DATASETS,
    Batches,
    Examples,
    PictureBatches,
    PictureSource,
    Shards,
    Source,
    StreamedWindows,
    Windows,
    disjoint,
    read_pictures,
    read_tokens,
    read_windows,
)
from training.team import ALONE, Team


@dataclass(frozen=True)
class Prepared:
    """A run before it has a model.

    Attributes:
        config: with what was found in the data: the codec's colours or vocabulary, the classes.
        codec: raw data <-> tokens.
        batches: to train on.
        validation: to measure on.
    """

    config: TrainConfig
    codec: Codec[Any]
    batches: Batches
    validation: Examples


def prepare(config: TrainConfig, *, resume: bool, team: Team = ALONE) -> Prepared:
    """Read the data; a BPE is trained, a palette is found.

    Args:
        config: the run.
        resume: take the tokenizer that the run trained before.
        team: which share of the batches is wanted.

    Raises:
        ValueError: the data cannot be read, or are of another kind than the model.
    """
    source = DATASETS.build(config.data)
    images = issubclass(CODECS[config.model.codec["name"]], ImageCodec)
    if images != hasattr(source, "pictures"):
        raise ValueError(
            f"the data {config.data['name']!r} are {'text' if images else 'pictures'} and codec "
            f"{config.model.codec['name']!r} is not for them; choose a preset of their kind."
        )
    if images:
        return _prepare_pictures(config, cast(PictureSource, source), team)
    return _prepare_text(config, cast(Source, source), team, resume=resume)


def _prepare_text(config: TrainConfig, source: Source, team: Team, *, resume: bool) -> Prepared:
    codec = _text_codec(config, source, resume=resume)
    batches: Batches
    if source.streamed:
        batches = StreamedWindows(
            lambda: islice(source.documents("train"), team.rank, None, team.size),
            codec,
            config.batch_size // team.size,
        )
    else:
        batches = Windows(
            source.tokens("train")
            if isinstance(source, Shards)
            else read_tokens(source.documents("train"), codec),
            length=codec.length,
            batch_size=config.batch_size,
            seed=config.seed,
            part=team.part(config.batch_size),
        )
    validation = Examples(_validation_windows(config, source, codec))
    return Prepared(_with_found(config, codec, ()), codec, batches, validation)


def _validation_windows(config: TrainConfig, source: Source, codec: TextCodec) -> Tensor:
    """Windows to measure on; of shards, which may be large, those alone that are measured."""
    if isinstance(source, Shards):
        tokens = source.tokens("validation")
        return disjoint(tokens, codec.length, config.evaluation_examples)
    return read_windows(source.documents("validation"), codec)


def _prepare_pictures(config: TrainConfig, source: PictureSource, team: Team) -> Prepared:
    codec = _image_codec(config.model.codec, source)
    examples = read_pictures(source, "train", codec)
    batches = PictureBatches(
        examples,
        shape=codec.shape,
        batch_size=config.batch_size,
        seed=config.seed,
        flip=bool(config.data.get("flip")),
        shift=config.data.get("shift", 0),
        part=team.part(config.batch_size),
    )
    validation = read_pictures(source, "validation", codec)
    found = _with_found(config, codec, source.class_names)
    return Prepared(found, codec, batches, validation)


def _with_found(config: TrainConfig, codec: Codec[Any], class_names: Sequence[str]) -> TrainConfig:
    """The config with what only the data could tell."""
    model = dataclasses.replace(
        config.model,
        codec={**config.model.codec, **codec.learned()},
        num_classes=len(class_names),
        class_names=list(class_names),
    )
    return dataclasses.replace(config, model=model)


def _image_codec(spec: Spec, source: PictureSource) -> ImageCodec:
    codec = CODECS.build(spec)
    if isinstance(codec, Palette) and not codec.found:
        pictures = (picture for picture, _ in source.pictures("train"))
        height, width, _ = codec.shape
        return Palette.train(pictures, height=height, width=width, colours=codec.vocab_size)
    return cast(ImageCodec, codec)


def _text_codec(config: TrainConfig, source: Source, *, resume: bool) -> TextCodec:
    """A BPE comes from the run's folder, from its shards, from `tokenizer`, or from training."""
    own = config.out / TOKENIZER_FILE
    if resume and own.exists():
        return BPE.from_tokenizer(read_tokenizer(own), config.model.codec["length"])
    if isinstance(source, Shards):
        codec = source.codec(config.model.codec)
    else:
        codec = find_codec(config, source.documents("train"))
    codec.save(config.out)
    return codec


def find_codec(config: TrainConfig, texts: Iterable[str]) -> TextCodec:
    """The codec that a config asks for; a BPE comes from `tokenizer`, or is trained on `texts`."""
    spec = config.model.codec
    if not issubclass(CODECS[spec["name"]], BPE):
        return cast(TextCodec, CODECS.build(spec))
    if config.tokenizer is None:
        return BPE.train(texts, spec["vocab_size"], spec["length"])
    path = Path(config.tokenizer)
    known = read_tokenizer(path) if path.exists() else Tokenizer.from_pretrained(config.tokenizer)
    return BPE.from_tokenizer(known, spec["length"])
