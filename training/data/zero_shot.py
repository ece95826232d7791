"""The test sets on which language models are measured that never trained on them.

Preprocessing follows the habit of the field (GPT-2, SEDD, MDLM, MD4): the words that a benchmark
has spread by spaces are written as English is written, each row is a document, documents are packed
end to end, behind each the tokenizer's end-of-text token or, if it has none, a line break, and what
results is cut into disjoint windows of the model's length; tokens that fill no window at the end
are not measured. Perplexity is per token of the model's own tokenizer, which makes it comparable
only between models that share one; perplexity per word is not: it spreads the same nats over the
words of the original text, those that white space separates. A model of a small alphabet (text8's)
cannot write these texts.

The rules are our own, to the same effect as the usual ones but not to the letter. The names on the
hub were taken from its pages, not tried; `ptb` and `lm1b` are read from the branch that the hub
converts for itself, as their repositories hold programs, which `datasets` no longer runs.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mdcore.codecs import TextCodec
from mdcore.registry import Spec
from training.data.hub import Hub
from training.data.source import Examples
from training.data.windows import disjoint, encode

Rules = Sequence[tuple[str, str]]
"""Patterns, and what is put in place of each match, one after the other."""

PUNCTUATION: Rules = (
    (r" ([.,;:!?%)\]}])", r"\1"),
    (r"([(\[{$£]) ", r"\1"),
    (r" (n't|'(?:s|m|d|re|ve|ll|t))\b", r"\1"),
    (r"(s) ' (?=\w)", r"\1' "),
    (r'" ([^"\n]*?) "', r'"\1"'),
)
WIKITEXT: Rules = (
    (r" @([-,.])@ ", r"\1"),
    *PUNCTUATION,
    (r"= (?==)", "="),
    (r" (?=\n)|(?<=\n) |^ ", ""),
)
PTB: Rules = (
    (r"<unk>", "?"),
    (r"\bN\b", "1"),
    (r"\\/", "/"),
    (r" (n't|'(?:s|m|d|re|ve|ll))\b", r"\1"),
    (r"s ' ", "s' "),
    (r"([$#]) (?=1)", r"\1"),
    (r"^ | (?=\n)| $", ""),
)
LM1B: Rules = (
    (r"(https?) : / / ", r"\1://"),
    (r" / ", "/"),
    *PUNCTUATION,
    (r"' ([^'\n]*?) '", r"'\1'"),
)
LAMBADA: Rules = ((r"[“”]|``|''", '"'), (r"[‘’]", "'"), (r"^\s+|\s+$", ""))


@dataclass(frozen=True)
class TestSet:
    """Where a test set lies, and how its text is made readable.

    Attributes:
        hub: its place: options of `Hub`, with "split".
        rules: of detokenisation.
        said: what they do, for the record.
    """

    __test__ = False  # the name is the thing's, not pytest's

    hub: Spec
    rules: Rules
    said: str

    def readable(self, row: str) -> str:
        """A row as English is written."""
        for pattern, plain in self.rules:
            row = re.sub(pattern, plain, row)
        return row

    def rows(self, text: Path | None) -> Iterator[str]:
        """The rows as they are: of the hub, or the lines of a file (.jsonl: their column).

        Raises:
            ValueError: they cannot be read.
        """
        options = dict(self.hub)
        split, column = options.pop("split"), options.get("column", "text")
        if text is None:
            yield from Hub(**options, train=split, validation=split).documents("validation")
            return
        try:
            with text.open(encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)[column] if text.suffix == ".jsonl" else line
        except (UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{text} is not UTF-8 text, a row a line, nor JSON lines with {column!r} ({error})."
            ) from error


def _wikitext(size: int) -> TestSet:
    return TestSet(
        {"repository": "Salesforce/wikitext", "subset": f"wikitext-{size}-raw-v1", "split": "test"},
        WIKITEXT,
        "no spaces before punctuation, @-@ is -, headings and quotes closed up",
    )


CONVERTED = "refs/convert/parquet"
TEST_SETS: dict[str, TestSet] = {
    "wikitext2": _wikitext(2),
    "wikitext103": _wikitext(103),
    "ptb": TestSet(
        {
            "repository": "ptb-text-only/ptb_text_only",
            "column": "sentence",
            "revision": CONVERTED,
            "split": "test",
        },
        PTB,
        "contractions and possessives closed up, <unk> is ?, N is 1",
    ),
    "lambada": TestSet(
        {"repository": "EleutherAI/lambada_openai", "split": "test"},
        LAMBADA,
        "OpenAI's version, whole passages; plain quotes, no white space around",
    ),
    "lm1b": TestSet(
        {"repository": "billion-word-benchmark/lm1b", "revision": CONVERTED, "split": "test"},
        LM1B,
        "no spaces before punctuation, quotes, brackets and addresses closed up",
    ),
}


@dataclass(frozen=True)
class ZeroShot:
    """A test set as a model reads it.

    Attributes:
        examples: windows.
        words: of the original text, by white space.
        tokens: of all of the text, windows or not.
        preprocessing: what was done to it, in words.
    """

    examples: Examples = field(repr=False)
    words: int
    tokens: int
    preprocessing: str


def read_test_set(name: str, codec: TextCodec, text: Path | None = None) -> ZeroShot:
    """A test set by its name.

    Args:
        name: in TEST_SETS; chooses the preprocessing.
        codec: the model's.
        text: a local copy, a row a line; from the hub if None.

    Raises:
        ValueError: the name is unknown, or the data cannot be read.
    """
    if name not in TEST_SETS:
        raise ValueError(
            f"{name!r} is neither a file nor a known test set ({', '.join(TEST_SETS)}); a data set "
            "on the hub is named OWNER/NAME."
        )
    chosen, words = TEST_SETS[name], 0
    parts: list[np.ndarray] = []
    end = "\n" if codec.end_of_text is None else ""
    for row in chosen.rows(text):
        words += len(row.split())
        document = chosen.readable(row)
        if document.strip():
            parts.append(encode(document if document.endswith("\n") else document + end, codec))
    tokens = np.concatenate(parts or [np.empty(0, np.int64)])
    behind = "a line break" if end else "the end-of-text token"
    said = f"{name}: {chosen.said}; rows packed, {behind} behind each; disjoint windows of "
    return ZeroShot(
        Examples(disjoint(tokens, codec.length)), words, len(tokens), f"{said}{codec.length} tokens"
    )
