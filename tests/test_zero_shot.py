"""Test sets by name: their text as it is read, their words, and perplexity per word."""

import json
import math
from pathlib import Path

import pytest
import torch
from test_commands import run
from tiny_text import save_tiny_checkpoint
from tokenised import with_end_of_text

from mdcore.checkpoint import load_checkpoint
from mdcore.codecs import Bytes
from mdcore.evaluation import Estimate
from training.data import TEST_SETS, read_test_set
from training.data.hub import Hub
from training.evaluate import Arguments, measure
from training.evaluate import run as evaluate
from training.loop import figures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), length=16)


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        ("wikitext2", " = = Early life = = \n", "== Early life ==\n"),
        (
            "wikitext103",
            " It sold 1 @,@ 250 @.@ 5 @-@ inch \" copies \" ( so it said ) ; Jones 's did n't . \n",
            "It sold 1,250.5-inch \"copies\" (so it said); Jones's didn't.\n",
        ),
        ("wikitext2", " The boys ' boat : $ 5 , 10 % \n", "The boys' boat: $5, 10%\n"),
        (
            "ptb",
            "mr. <unk> 's shares did n't rise to $ N from # N and\\/or the dogs ' N",
            "mr. ?'s shares didn't rise to $1 from #1 and/or the dogs' 1",
        ),
        (
            "lm1b",
            "See http : / / a.org ( here ) : \" Is it ' so ' ? \" , he 's said ; £ 3 .",
            "See http://a.org (here): \"Is it 'so'?\", he's said; £3.",
        ),
        ("lambada", "“ it ’s late , ” he said \n", '" it \'s late , " he said'),
    ],
)
def test_a_row_reads_as_english_is_written(name: str, row: str, text: str) -> None:
    assert TEST_SETS[name].readable(row) == text


def test_rows_are_packed_and_their_words_counted(tmp_path: Path) -> None:
    local = tmp_path / "ptb.txt"
    local.write_text(" the dog did n't N\n\n two words\n", encoding="utf-8")
    codec = Bytes(length=4)
    found = read_test_set("ptb", codec, local)
    text = b"the dog didn't 1\ntwo words\n"
    assert (found.words, found.tokens) == (7, len(text))
    assert bytes(found.examples.x.flatten().tolist()) == text[:24]  # 3 bytes fill no window
    assert "a line break behind each; disjoint windows of 4 tokens" in found.preprocessing
    with_end = read_test_set("ptb", with_end_of_text(), local)
    assert "the end-of-text token behind each" in with_end.preprocessing


def test_json_lines_are_read_by_their_column(tmp_path: Path) -> None:
    local = tmp_path / "lambada_test.jsonl"
    local.write_text(json.dumps({"text": "“One two\nthree”"}) + "\n", encoding="utf-8")
    found = read_test_set("lambada", Bytes(length=16), local)
    assert bytes(found.examples.x.flatten().tolist()) == b'"One two\nthree"\n'
    assert found.words == 3
    local.write_text("{}\n")
    with pytest.raises(ValueError, match="nor JSON lines with 'text'"):
        read_test_set("lambada", Bytes(), local)


@pytest.mark.parametrize("name", list(TEST_SETS))
def test_a_test_set_is_read_from_the_hub(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked of `datasets`; the hub itself is out of reach of the tests."""
    asked: list[object] = []

    def load(repository: str, subset: str | None, **options: object) -> list[dict[str, str]]:
        asked.extend([repository, subset, options["split"]])
        return [{TEST_SETS[name].hub.get("column", "text"): "some words of it . \n"}]

    monkeypatch.setattr("datasets.load_dataset", load)
    assert read_test_set(name, Bytes(length=4)).words == 5
    assert "/" in str(asked[0])
    assert asked[2] == "test"


def test_a_part_of_a_data_set_is_chosen(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="could not be read"):
        list(Hub(str(tmp_path), subset="no such part").documents("train"))


def test_perplexity_per_word_spreads_the_nats_over_the_words(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = tmp_path / "wiki.txt"
    local.write_text(" The old king , said the fox . \n" * 24, encoding="utf-8")
    evaluate(Arguments(checkpoint, "wikitext2", text=local, draws=8, device="cpu"))
    told = json.loads(capsys.readouterr().out)
    loaded = load_checkpoint(checkpoint)
    found = read_test_set("wikitext2", loaded.codec, local)
    assert told["words"] == found.words == 24 * 8
    assert found.tokens - 16 < told["tokens"] <= found.tokens
    nats = told["bits_per_token"] * math.log(2) * found.tokens
    assert told["perplexity_per_word"] == pytest.approx(math.exp(nats / found.words))
    assert told["perplexity"] == pytest.approx(2 ** told["bits_per_token"])
    # the error of exp(x) is that of x times exp(x), to first order: a difference quotient says so
    step = told["standard_error"] * 1e-3
    for power, name in ((1, "perplexity"), (found.tokens / found.words, "perplexity_per_word")):
        slope = 2 ** (power * (told["bits_per_token"] + step)) - told[name]
        assert told[f"{name}_standard_error"] == pytest.approx(slope * 1e3, rel=0.01)
    assert told["preprocessing"].startswith("wikitext2: ")
    again = measure(loaded, found.examples, 8, 0)
    assert {name: told[name] for name in again} == again


def test_a_limit_measures_less_and_counts_all_words(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local = tmp_path / "wiki.txt"
    local.write_text(" The old king , said the fox . \n" * 24, encoding="utf-8")
    evaluate(Arguments(checkpoint, "wikitext2", text=local, limit=2, draws=2, device="cpu"))
    told = json.loads(capsys.readouterr().out)
    assert (told["tokens"], told["words"]) == (32, 24 * 8)
    found = read_test_set("wikitext2", load_checkpoint(checkpoint).codec, local)
    bits = told["bits_per_token"] * found.tokens / found.words
    assert told["bits_per_word"] == pytest.approx(bits)


def test_an_end_of_text_is_no_character() -> None:
    codec = with_end_of_text()
    x = torch.tensor([[*codec.tokenize("a b").tolist(), codec.end_of_text]])
    assert figures(Estimate(1.0, 0.1, 2), x, codec)["characters"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["wikitext-2"], "known test set (wikitext2, wikitext103, ptb, lambada, lm1b)"),
        (["wikitext", "--text", "LOCAL"], "known test set (wikitext2"),
        (["ptb", "--text", "no.txt"], "No such file"),
    ],
)
def test_a_mistake_in_the_name_is_told(checkpoint: Path, words: list[str], message: str) -> None:
    result = run("training.evaluate", checkpoint, *words)
    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
