"""Codecs: what goes in comes out, holes included, and what cannot go in is named."""

import functools
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import seeded
from tokenizers import AddedToken, Tokenizer, decoders, models

from mdcore.codecs import BPE, CODECS, HOLE, TOKENIZER_FILE, Bytes, Characters, TextCodec

TEXT = "the cat sat on the mat, and the rat sat on the cat; so sat they all. "


@functools.cache
def codec_named(name: str, length: int = 10_000) -> TextCodec:
    cls = CODECS[name]
    if issubclass(cls, BPE):
        return cls.train([TEXT] * 20, vocab_size=290, length=length)
    return CODECS.build({"name": name, "length": length})


def raw(codec: TextCodec) -> st.SearchStrategy[str]:
    """Any text that the codec can write: all of Unicode unless it has an alphabet."""
    alphabet = codec.alphabet if isinstance(codec, Characters) else None
    return st.text(alphabet) if alphabet else st.text()


TEXT_CODECS = [name for name in CODECS if issubclass(CODECS[name], TextCodec)]
every_codec = pytest.mark.parametrize("name", TEXT_CODECS)


@every_codec
@given(data=st.data())
def test_decode_inverts_encode_with_holes(name: str, data: st.DataObject) -> None:
    codec = codec_named(name)
    pieces = data.draw(st.lists(raw(codec), min_size=1, max_size=5))
    text = HOLE.join(pieces)
    tokens = codec.encode(text)
    assert codec.decode(tokens) == text
    assert tokens.dtype == torch.long
    assert (tokens == codec.vocab_size).sum() == text.count(HOLE)
    assert ((tokens >= 0) & (tokens <= codec.vocab_size)).all()


@every_codec
def test_a_hole_keeps_its_place(name: str) -> None:
    codec = codec_named(name)
    hole = torch.tensor([codec.vocab_size])
    left, right = codec.encode("the cat"), codec.encode(" sat on")
    expected = torch.cat([hole, left, hole, hole, right, hole])
    text = f"{HOLE}the cat{HOLE}{HOLE} sat on{HOLE}"
    assert torch.equal(codec.encode(text), expected)
    assert codec.decode(expected) == text


@every_codec
def test_masking_a_token_makes_a_hole_of_its_piece(name: str) -> None:
    codec = codec_named(name)
    tokens = codec.encode("the cat sat on the mat")
    pieces = codec.pieces(tokens)
    assert "".join(pieces) == "the cat sat on the mat"
    masked = torch.rand(len(tokens), generator=seeded()) < 0.4
    assert 0 < masked.sum() < len(tokens)
    expected = "".join(
        HOLE if hidden else piece for hidden, piece in zip(masked, pieces, strict=True)
    )
    assert codec.decode(torch.where(masked, codec.vocab_size, tokens)) == expected


@every_codec
def test_too_long_says_by_how_much(name: str) -> None:
    codec = codec_named(name, length=256)
    assert len(codec.encode(HOLE * 256)) == 256
    with pytest.raises(ValueError, match="1,240 tokens") as error:
        codec.encode(HOLE * 1240)
    assert str(error.value) == (
        "1,240 tokens; this model reads 256. Shorten the text by about 984 tokens."
    )
    assert len(codec.tokenize(HOLE * 1240)) == 1240


@every_codec
@pytest.mark.parametrize("token", [-1, 1])
def test_decode_refuses_tokens_of_another_vocabulary(name: str, token: int) -> None:
    codec = codec_named(name)
    wrong = token if token < 0 else codec.vocab_size + token
    with pytest.raises(ValueError, match=f"token {wrong} lies outside .*another codec's"):
        codec.decode(torch.tensor([0, wrong]))


@every_codec
def test_half_a_surrogate_pair_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown to this model: '\\ud83d' at 3\. Replace or rem"):
        codec_named(name).encode("the\ud83d cat")


@every_codec
def test_a_length_is_at_least_one(name: str) -> None:
    context = {"vocab_size": 300} if name == "bpe" else {}
    with pytest.raises(ValueError, match="length is 0; a codec needs at least 1"):
        CODECS.build({"name": name, "length": 0, **context})


# Characters


@given(st.text(st.characters(exclude_characters="[", exclude_categories=["Cs"])))
@pytest.mark.parametrize("before", ["", f"ab{HOLE}"])
def test_unknown_characters_are_named_with_their_places(before: str, text: str) -> None:
    codec = codec_named("characters")
    unknown = [
        f"{c!r} at {len(before) + place}"
        for place, c in enumerate(text)
        if c not in " abcdefghijklmnopqrstuvwxyz"
    ]
    assume(unknown)
    with pytest.raises(ValueError, match="unknown") as error:
        codec.encode(before + text)
    more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
    assert str(error.value) == (
        f"These characters are unknown to this model: {', '.join(unknown[:8])}{more}. "
        "Replace or remove them."
    )


@pytest.mark.parametrize("alphabet", ["", "aba"])
def test_an_alphabet_has_each_character_once(alphabet: str) -> None:
    with pytest.raises(ValueError, match="at least one character, each only once"):
        Characters(alphabet)


# Bytes


@given(st.text())
def test_bytes_are_those_of_utf8(text: str) -> None:
    codec = codec_named("bytes")
    if HOLE not in text:
        assert codec.encode(text).tolist() == list(text.encode("utf-8"))


@given(st.lists(st.integers(0, 256), max_size=40))
def test_any_bytes_can_be_shown(tokens: list[int]) -> None:
    """A model may write broken UTF-8: it is shown with replacement characters, never an error."""
    parts: list[bytes] = [b""]
    for token in tokens:
        if token == 256:
            parts.append(b"")
        else:
            parts[-1] += bytes([token])
    expected = HOLE.join(part.decode("utf-8", errors="replace") for part in parts)
    assert Bytes().decode(torch.tensor(tokens, dtype=torch.long)) == expected


# BPE


def test_bpe_learns_words() -> None:
    codec = codec_named("bpe")
    assert len(codec.encode(TEXT)) < len(TEXT.encode()) / 2
    assert " the" in codec.pieces(codec.encode(TEXT))


@pytest.mark.parametrize("name", ["bytes", "bpe"])
def test_parts_of_characters_are_bytes(name: str) -> None:
    codec = codec_named(name)
    text = "é — 日本 \N{REPLACEMENT CHARACTER} 🦊"
    pieces = codec.pieces(codec.encode(text))
    assert any(isinstance(piece, bytes) for piece in pieces)
    whole = b"".join(p if isinstance(p, bytes) else p.encode() for p in pieces)
    assert whole.decode() == text


def test_every_byte_has_its_letter() -> None:
    codec = BPE.train(["a"], 256)
    pieces = codec.pieces(torch.arange(256))
    raw = [p if isinstance(p, bytes) else p.encode() for p in pieces]
    assert sorted(raw) == [bytes([byte]) for byte in range(256)]
    assert [isinstance(p, bytes) for p in pieces] == [ord(r) > 127 for r in raw]


def test_the_bytes_of_sentencepiece() -> None:
    tokenizer = Tokenizer(models.BPE({"<0xE9>": 0, "a": 1}, [], byte_fallback=True))
    tokenizer.decoder = decoders.ByteFallback()
    assert BPE.from_tokenizer(tokenizer).pieces(torch.tensor([0, 1])) == [b"\xe9", "a"]


def test_bpe_holes_take_the_space_before_them_when_asked() -> None:
    """A token carries the space before its word: the hole then stands for that token."""
    codec = codec_named("bpe")
    whole = codec.encode("the cat sat")
    assert codec.pieces(whole) == ["the", " cat", " sat"]
    loose = codec.loosen(f"the {HOLE} sat")
    assert torch.equal(
        codec.encode(loose), torch.where(torch.arange(3) == 1, codec.vocab_size, whole)
    )
    assert codec.loosen(loose) == loose


@pytest.mark.parametrize("name", [name for name in TEXT_CODECS if name != "bpe"])
def test_other_holes_are_as_wide_as_they_look(name: str) -> None:
    assert codec_named(name).loosen(f"the {HOLE} sat") == f"the {HOLE} sat"


def test_bpe_is_saved_and_read(tmp_path: Path) -> None:
    codec = codec_named("bpe")
    codec.save(tmp_path)
    spec = {"name": "bpe", "vocab_size": codec.vocab_size}
    again = CODECS.build(spec, folder=tmp_path)
    assert torch.equal(again.encode(TEXT), codec.encode(TEXT))
    with pytest.raises(
        ValueError, match=r"tokens and the config says 999; use the tokenizer\.json"
    ):
        CODECS.build({**spec, "vocab_size": 999}, folder=tmp_path)


def test_bpe_of_a_tokenizer_that_pads_and_cuts(tmp_path: Path) -> None:
    tokenizer = BPE.train([TEXT], vocab_size=270).tokenizer
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True)])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=50)
    codec = BPE.from_tokenizer(tokenizer)
    text = f"{TEXT}<|end|>{TEXT}"
    assert codec.decode(codec.encode(text)) == text
    assert codec.vocab_size - 1 in codec.encode(text)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_bad_tokenizer_file(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / TOKENIZER_FILE).write_text(content)
    expected = "missing; copy it" if content is None else "not a tokenizer of the tokenizers lib"
    with pytest.raises(ValueError, match=f"{TOKENIZER_FILE} is {expected}"):
        BPE(300, folder=tmp_path)


def test_bpe_without_its_tokenizer() -> None:
    with pytest.raises(ValueError, match=f"has no {TOKENIZER_FILE}; load it from a checkpoint"):
        BPE(300).encode("the cat")
    with pytest.raises(ValueError, match="vocab_size is 100; byte-level BPE needs at least 256"):
        BPE.train([TEXT], vocab_size=100)
