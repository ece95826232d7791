"""Text tokenised to the disk: the tokens of the text in memory, whatever happens on the way."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_commands import OFFLINE, command, run
from tokenised import SAMPLE, contents, tokenise_by_command, with_end_of_text, write, write_texts
from tokenizers import Tokenizer, models, pre_tokenizers

from mdcore.codecs import BPE, CODECS, Bytes, TextCodec
from training.data import (
    DATASETS,
    Books,
    Hub,
    Letters,
    Shards,
    Text,
    Windows,
    read_tokens,
)
from training.data.sharding import GRAIN
from training.data.shards import read_index


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_texts(tmp_path_factory.mktemp("texts"))


def books_reference(text: str) -> str:
    """What Books says it does, of a text as a whole."""
    for signs, plain in (("‘’", "'"), ("…", "..."), ("_", "")):
        text = re.sub(f"[{signs}]", plain, text)
    boundary = r"\n[ \t]*\n\s*" if re.search(r"\n[ \t]*\n", text) else r"\n+"
    parts = (re.sub(r"\s+", " ", part).strip() for part in re.split(boundary, text.strip()))
    return "".join(f"{part}\n\n" for part in parts if part)


@given(st.text("a_B \n\t\x0b…’9"), st.integers(1, 7))
def test_a_text_in_blocks_is_cleaned_like_the_whole(text: str, size: int) -> None:
    def blocks() -> Iterator[str]:
        return (text[start : start + size] for start in range(0, len(text), size))

    wanted = {
        Text: text,
        Books: books_reference(text),
        Letters: re.sub("[^a-z]+", " ", text.lower()),
    }
    for kind, whole in wanted.items():
        assert "".join(kind([str(SAMPLE)]).stream(blocks)) == whole


@pytest.mark.parametrize("name", ["books", "letters", "text"])
@pytest.mark.parametrize("held_out", [(), ("willows",)])
@pytest.mark.parametrize("codec", ["bpe", "end of text", "bytes"])
def test_shards_hold_the_tokens_of_the_text_in_memory(
    texts: Path, tmp_path: Path, name: str, held_out: tuple[str, ...], codec: str
) -> None:
    source = DATASETS.build({"name": name, "paths": [str(texts)], "held_out": held_out})
    kinds = {"bpe": BPE.train(source.documents("train"), 280, 16), "bytes": Bytes(16)}
    own: TextCodec = kinds.get(codec) or with_end_of_text()
    read = write(source, tmp_path, own, {"name": "bytes" if codec == "bytes" else "bpe"})
    shards = Shards(str(tmp_path))
    assert len(shards.index.shards) > 3
    assert read[-1] == sum(len(d) for s in ("train", "validation") for d in source.documents(s))
    for split in ("train", "validation"):
        wanted, tokens = read_tokens(source.documents(split), own), shards.tokens(split)
        assert len(tokens) == len(wanted)
        assert np.array_equal(tokens[0 : len(wanted)], wanted)
        documents = [text for text in source.documents(split) if text]
        assert list(shards.documents(split)) == documents
    batches = [
        Windows(tokens, length=700, batch_size=8, seed=3, part=slice(2, 6)).batch(5).x
        for tokens in (read_tokens(source.documents("train"), own), shards.tokens("train"))
    ]
    assert torch.equal(*batches)  # windows of 700 run over borders of shards and documents


def test_shards_are_mapped_not_read(texts: Path, tmp_path: Path) -> None:
    write(Text([str(texts)]), tmp_path, Bytes(), {"name": "bytes"})
    tokens = Shards(str(tmp_path)).tokens("train")
    mapped = tokens._map(0)
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


def kill_before(moment: int, texts: Path, folder: Path) -> None:
    """Tokenise in a process that is killed before its n-th sync or rename."""
    calls = 0

    def count(call: object) -> object:
        def counted(*arguments: object) -> object:
            nonlocal calls
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments)  # type: ignore[operator]

        return counted

    os.fsync, Path.replace = count(os.fsync), count(Path.replace)  # type: ignore[assignment]
    tokenise_by_command(folder, texts, preset="letters-md4", vocab_size=None)


def test_killed_at_any_moment_and_gone_on_with_is_never_interrupted(
    texts: Path, tmp_path: Path
) -> None:
    tokenise_by_command(tmp_path / "straight", texts, preset="letters-md4", vocab_size=None)
    wanted = contents(tmp_path / "straight")
    context = get_context("forkserver")
    context.set_forkserver_preload(["training.tokenise"])
    for moment in range(1, 200):
        out = tmp_path / str(moment)
        child = context.Process(target=kill_before, args=(moment, texts, out))
        child.start()
        child.join()
        if child.exitcode == 0:
            break
        assert child.exitcode == -signal.SIGKILL
        for name in contents(out).keys() & wanted.keys() - {"index.json"}:
            assert contents(out)[name] == wanted[name]  # under its name a file is whole
        tokenise_by_command(out, texts, preset="letters-md4", vocab_size=None)
        assert contents(out) == wanted
    assert moment > 2 * 2 * len(read_index(tmp_path / "straight").shards)


def test_two_workers_killed_with_their_parent_leave_what_one_makes(tmp_path: Path) -> None:
    text = tmp_path / "willow.txt"
    text.write_text(SAMPLE.read_text(encoding="utf-8") * 600, encoding="utf-8")
    tokenise_by_command(tmp_path / "one", text, shard_characters=GRAIN // 2)
    out = tmp_path / "two"
    words = ["training.tokenise", "childrens-books", "--data", text, "--out", out]
    words += ["--vocab-size", 300, "--shard-characters", GRAIN // 2, "--workers", 2]
    killed = subprocess.Popen(command(*words), stderr=subprocess.DEVNULL, env=OFFLINE)
    while not (out / "train-00001.bin").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    children = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    killed.kill()
    killed.wait()
    assert not read_index(out).complete
    deadline = time.monotonic() + 60
    while any(alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    gone_on = run(*words)
    assert gone_on.returncode == 0, gone_on.stderr
    assert "train: " in gone_on.stdout
    assert "%|" in gone_on.stderr  # the progress bar
    assert contents(out) == contents(tmp_path / "one")


def alive(process: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_a_large_vocabulary_takes_32_bits(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(2**16)]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    text = tmp_path / "text.txt"
    text.write_text(" ".join(words[-1000:]), encoding="utf-8")
    write(Text([str(text)]), tmp_path / "out", BPE.from_tokenizer(tokenizer, 8), {"name": "bpe"})
    shards = Shards(str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "index.json").read_text())["dtype"] == "uint32"
    tokens = shards.tokens("train")
    assert tokens[0 : len(tokens)].max() > 2**16 - 100
    assert (tmp_path / "out" / "train-00000.bin").stat().st_size == 4 * len(tokens)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_hub_data_set_is_packed_with_its_borders(tmp_path: Path, streamed: bool) -> None:
    rows = [f"story {number} " * (number + 1) for number in range(40)]
    with (tmp_path / "train.jsonl").open("w") as file:
        file.writelines(json.dumps({"text": row}) + "\n" for row in ["", *rows])
    hub = Hub(str(tmp_path), validation_rows=5, streamed=streamed)
    codec = with_end_of_text()
    write(hub, tmp_path / "out", codec, {"name": "bpe"})
    shards = Shards(str(tmp_path / "out"))
    assert list(shards.documents("validation")) == rows[:4]
    assert list(shards.documents("train")) == rows[4:]
    tokens = shards.tokens("train")
    ends = np.flatnonzero(tokens[0 : len(tokens)] == codec.end_of_text)
    starts = np.load(tmp_path / "out" / "train-00000.documents.npy")
    assert np.array_equal(starts, [0, *ends[:-1] + 1])


def test_a_text_that_has_changed_is_noticed(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("one two three", encoding="utf-8")
    tokenise_by_command(tmp_path / "out", text)
    text.write_text("one two four!", encoding="utf-8")
    with pytest.raises(ValueError, match="text has changed since shard train-00000"):
        tokenise_by_command(tmp_path / "out", text)


def test_a_codec_that_cannot_write_the_text_says_so(tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("Über 9", encoding="utf-8")
    with pytest.raises(ValueError, match="unknown to this model: 'Ü' at 0"):
        write(Text([str(text)]), tmp_path / "out", CODECS.build({"name": "characters"}),
              {"name": "characters"})  # fmt: skip
