"""Text files and folders of the user's own."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from training.data.source import DATASETS, Split

VALIDATION_SHARE = 0.05
BLOCK = 2**13
"""Characters that are read at a time; tokenizers are slower with more."""
LONGEST = 2**20
"""Characters that are searched for a place to cut, before they are cut anywhere."""

Blocks = Callable[[], Iterable[str]]
"""Starts a text afresh, in blocks that may end anywhere."""

# each matches as much as it can of a text that can be cut behind the match
BEFORE_SPACE = re.compile(r".*\S(?=\s)", re.DOTALL)
BEHIND_LETTER = re.compile(r".*[A-Za-z](?![A-Za-z])", re.DOTALL)

KEYBOARD = str.maketrans(
    dict.fromkeys("‘’‚`´", "'")
    | dict.fromkeys("“”„«»", '"')
    | dict.fromkeys("—―", "--")
    | {"–": "-", "…": "...", "\ufeff": "", "_": ""}
)
BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
LINE_BREAK = re.compile(r"\n+")


@DATASETS.register("text")
class Text:
    """UTF-8 text files as they are.

    Files named in `held_out` (by stem) are the validation split. If none is, the last 5 % of the
    text are.

    Args:
        paths: text files, or folders, of which every .txt below is read.
        held_out: stems of validation files.
        whole: both splits are all of the text: for measuring on it, not for training.
    """

    local: ClassVar[str] = "text"
    streamed = False

    def __init__(
        self, paths: Sequence[str] = (), held_out: Sequence[str] = (), whole: bool = False
    ) -> None:
        if not paths:
            raise ValueError("This preset trains on local files: name them with --data PATH.")
        self.files = [file for path in paths for file in _text_files(Path(path))]
        self.whole = whole
        self.held_out = [file for file in self.files if file.stem in held_out]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files)

    def documents(self, split: Split) -> Iterator[str]:
        """The text of one file after another."""
        return map("".join, self.pieces(split))

    def pieces(self, split: Split) -> Iterator[Iterator[str]]:
        """The same documents, each in pieces of some thousand characters.

        A byte-level BPE makes the same tokens of the pieces as of the whole: they end before white
        space, where its words end too.
        """
        if self.whole:
            return map(self._read, self.files)
        if self.held_out:
            wanted = split == "validation"
            return (self._read(file) for file in self.files if (file in self.held_out) == wanted)
        return self._share(split)

    def _share(self, split: Split) -> Iterator[Iterator[str]]:
        """The part of the files in a split: validation is the last 5 % of the characters."""
        lengths = [sum(map(len, self._read(file))) for file in self.files]
        border = round((1 - VALIDATION_SHARE) * sum(lengths))
        for file, length in zip(self.files, lengths, strict=True):
            place = min(max(border, 0), length)
            start, stop = (0, place) if split == "train" else (place, length)
            if start < stop:
                yield _between(self._read(file), start, stop)
            border -= length

    def _read(self, file: Path) -> Iterator[str]:
        return self.stream(lambda: _blocks(file))

    def clean(self, text: str) -> str:
        """The text as it is trained on."""
        return "".join(self.stream(lambda: [text]))

    def stream(self, blocks: Blocks) -> Iterator[str]:
        """The text as it is trained on, in pieces."""
        return cut(blocks(), BEFORE_SPACE)


@DATASETS.register("books")
class Books(Text):
    """Prose from print: paragraphs made of hard-wrapped lines, typographic signs, _italics_.

    A blank line ends a paragraph; in a file without blank lines every line is a paragraph. Lines
    of a paragraph are joined by a space, paragraphs are set apart by one blank line, quotes and
    dashes become those of a keyboard.
    """

    local: ClassVar[str] = "books"

    def stream(self, blocks: Blocks) -> Iterator[str]:
        """Plain paragraphs, one blank line between them."""

        def texts() -> Iterator[str]:
            plain = (block.replace("\r\n", "\n").translate(KEYBOARD) for block in blocks())
            return cut(plain, BEFORE_SPACE)

        spaced = any(BLANK_LINE.search(text) for text in texts())
        return _paragraphs(texts(), BLANK_LINE if spaced else LINE_BREAK)


@DATASETS.register("letters")
class Letters(Text):
    """Text in the 27 symbols of text8: small letters, and one space between words."""

    local: ClassVar[str] = "letters"

    def stream(self, blocks: Blocks) -> Iterator[str]:
        """Small letters; a run of anything else is one space."""
        for text in cut(blocks(), BEHIND_LETTER):
            yield re.sub("[^a-z]+", " ", text.lower())


def _text_files(path: Path) -> list[Path]:
    """The file itself, or the .txt files of a folder in the order of their names."""
    if path.is_file():
        return [path]
    if not path.exists():
        raise ValueError(
            f"{path} does not exist; give a text file or a folder of .txt files with --data."
        )
    files = sorted(path.rglob("*.txt"))
    if not files:
        raise ValueError(
            f"{path} has no .txt file; give a text file or a folder of them with --data."
        )
    return files


def _blocks(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig") as text:
            while block := text.read(BLOCK):
                if "\0" in block:
                    raise ValueError(
                        f"{file} is no text, there are zero bytes in it; leave it out."
                    )
                yield block
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not UTF-8 text ({error}); convert it or leave it out."
        ) from error
    except OSError as error:
        raise ValueError(
            f"{file} cannot be read ({error.strerror}); put it back, or leave it out."
        ) from error


def cut(blocks: Iterable[str], border: re.Pattern[str]) -> Iterator[str]:
    """The same text in pieces that end where `border` allows it, if it does so at all."""
    rest = ""
    for block in blocks:
        rest += block
        if found := border.match(rest):
            yield found[0]
            rest = rest[found.end() :]
        elif len(rest) > LONGEST:
            yield rest
            rest = ""
    if rest:
        yield rest


def _paragraphs(texts: Iterable[str], boundary: re.Pattern[str]) -> Iterator[str]:
    """Texts cut before white space, of which each run becomes a blank line or one space."""
    begun = False
    for text in texts:
        parts = (" ".join(part.split()) for part in boundary.split(text.strip()))
        body = "\n\n".join(part for part in parts if part)
        if not body:
            continue
        before = text[: len(text) - len(text.lstrip())]
        gap = "\n\n" if boundary.search(before) else " " * bool(before)
        yield gap + body if begun else body
        begun = True
    if begun:
        yield "\n\n"


def _between(pieces: Iterable[str], start: int, stop: int) -> Iterator[str]:
    """The characters from `start` to before `stop` of a text in pieces."""
    for piece in pieces:
        if part := piece[max(0, start) : max(0, stop)]:
            yield part
        start, stop = start - len(piece), stop - len(piece)
