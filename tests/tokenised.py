"""Texts, and ways to tokenise them to the disk."""

import re
from pathlib import Path

from mdcore.codecs import BPE, TextCodec
from mdcore.registry import Spec
from training import tokenise as tool
from training.data import Source
from training.data.sharding import tokenise
from training.data.shards import Index

SAMPLE = Path(__file__).parent / "sample.txt"
SHARD = 20_000


def write_texts(folder: Path) -> Path:
    """Files of one to many pieces: hard-wrapped, a paragraph a line, empty, without a break."""
    sample = SAMPLE.read_text(encoding="utf-8")
    (folder / "a.txt").write_text(sample * 12, encoding="utf-8")
    (folder / "b.txt").write_text(re.sub(r"\s*\n\s*", "\n", sample) * 4, encoding="utf-8")
    (folder / "c.txt").write_text("", encoding="utf-8")
    (folder / "d.txt").write_text("x" * 30_000, encoding="utf-8")
    (folder / "willows.txt").write_text("‘Held’ out…\r\n\r\n" + sample, encoding="utf-8")
    return folder


def with_end_of_text() -> BPE:
    codec = BPE.train([SAMPLE.read_text(encoding="utf-8")], 300, 16)
    codec.tokenizer.add_special_tokens(["<|endoftext|>"])
    return BPE.from_tokenizer(codec.tokenizer, 16)


def write(
    source: Source, folder: Path, codec: TextCodec, spec: Spec, *, workers: int = 1
) -> list[int]:
    """Tokenise below the command line."""
    folder.mkdir(exist_ok=True)
    codec.save(folder)
    index = Index(source={}, options={}, codec={**spec, **codec.learned()})
    return list(tokenise(source, index, folder, shard_characters=SHARD, workers=workers))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def tokenise_by_command(out: Path, *data: Path, **changes: object) -> None:
    options = {"preset": "childrens-books", "vocab_size": 300, "shard_characters": SHARD}
    options |= {"workers": 1, "data": data, "out": out, **changes}
    tool.run(tool.Arguments(**options))  # type: ignore[arg-type]
