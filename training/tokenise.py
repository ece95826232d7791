"""Tokenise text once, for training from the disk: python -m training.tokenise PRESET --out DIR."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import tyro
from tqdm import tqdm

from mdcore.codecs import CODECS, TextCodec
from training.command import command
from training.config import PRESETS, TrainConfig
from training.data import DATASETS, INDEX_FILE, Index, Source, Text, local_spec, read_index
from training.data.sharding import SPLITS, in_pieces, tokenise, write_index
from training.prepare import find_codec

TEXTS = tuple(
    name for name in PRESETS if issubclass(CODECS[PRESETS[name].model.codec["name"]], TextCodec)
)
SAMPLE = 2**24
"""Characters of the training split that are enough to train a BPE on."""


@dataclass(frozen=True)
class Arguments:
    """Write a text's tokens to --out; what was interrupted goes on with the same command."""

    preset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(constructor=Literal[TEXTS])]
    """Whose codec, and whose data if no --data is given."""
    out: Path
    """Folder for the shards, their index and the tokenizer."""
    data: tuple[Path, ...] = ()
    """Files or folders of .txt files."""
    workers: int = os.cpu_count() or 1
    """Processes that tokenise; the files are the same for any number."""
    vocab_size: int | None = None
    """Tokens of a BPE that is trained on the data: on 2^24 characters of them if there are more."""
    tokenizer: str | None = None
    """A tokenizer.json, or a name on the hub, for BPE presets."""
    shard_characters: int = 2**24
    """Characters of text in a shard."""


def configure(arguments: Arguments) -> TrainConfig:
    """The preset with what the command line changes."""
    for name in ("workers", "shard_characters"):
        if getattr(arguments, name) < 1:
            option = name.replace("_", "-")
            raise ValueError(f"--{option} is {getattr(arguments, name)}; it must be at least 1.")
    config = PRESETS[arguments.preset]
    data = config.data
    if arguments.data:
        data = local_spec(data, [str(path) for path in arguments.data])
    codec = dict(config.model.codec)
    if arguments.vocab_size is not None:
        codec["vocab_size"] = arguments.vocab_size
    return dataclasses.replace(
        config,
        model=dataclasses.replace(config.model, codec=codec),
        data=data,
        tokenizer=arguments.tokenizer or config.tokenizer,
        out=arguments.out,
    )


def begin(config: TrainConfig, source: Source, shard_characters: int) -> Index:
    """The index of the folder as it is, or a new one, with the tokenizer beside it.

    Raises:
        ValueError: the folder was begun with other options.
    """
    codec = {key: value for key, value in config.model.codec.items() if key != "length"}
    options = {"codec": codec, "tokenizer": config.tokenizer, "shard_characters": shard_characters}
    asked = {"source": json.loads(json.dumps(dict(config.data))), "options": options}
    if (config.out / INDEX_FILE).exists():
        index = read_index(config.out)
        for key, value in asked.items():
            if getattr(index, key) != value:
                raise ValueError(
                    f"{config.out} was begun with {key} = {getattr(index, key)}; now {value} is "
                    "asked for. Give the options of the first call, or choose another --out."
                )
        return index
    config.out.mkdir(parents=True, exist_ok=True)
    found = find_codec(config, sample(source))
    found.save(config.out)
    index = Index(**asked, codec={**codec, **found.learned()})
    write_index(config.out, index)
    return index


def sample(source: Source) -> Iterator[str]:
    """At most SAMPLE characters of the training split.

    Of files, some that are spread evenly; of a stream, whose size is unknown, the first documents.
    """
    share = min(1.0, SAMPLE / max(1, source.size)) if isinstance(source, Text) else 1.0
    taken = 0
    for number, document in enumerate(in_pieces(source, "train")):
        if number and int((number + 1) * share) == int(number * share):
            continue  # unread
        for text in document:
            yield text
            taken += len(text)
            if taken >= SAMPLE:
                return


def run(arguments: Arguments) -> None:
    """Tokenise with a progress bar, and say what came of it."""
    config = configure(arguments)
    source = cast(Source, DATASETS.build(config.data))
    print(f"{arguments.preset} to {config.out}; finding the tokenizer ...", file=sys.stderr)
    index = begin(config, source, arguments.shard_characters)
    progress = tokenise(
        source,
        index,
        config.out,
        shard_characters=arguments.shard_characters,
        workers=arguments.workers,
    )
    total = source.size if isinstance(source, Text) else None
    try:
        with tqdm(total=total, unit="char", unit_scale=True, dynamic_ncols=True) as bar:
            for read in progress:
                bar.update(read - bar.n)
            bar.total = bar.n  # bytes were told, characters came
    except KeyboardInterrupt:
        sys.exit("Stopped. The same command goes on where it stopped.")
    shards = read_index(config.out).shards
    for split in SPLITS:
        own = [shard for name, shard in shards.items() if name.startswith(f"{split}-")]
        tokens, documents = (sum(shard[key] for shard in own) for key in ("tokens", "documents"))
        print(f"{split}: {tokens:,} tokens, {documents:,} documents, {len(own):,} shards")
    print(f"Train on it: python -m training.train {arguments.preset} --data {config.out}")


if __name__ == "__main__":
    command("training.tokenise", Arguments, run)
