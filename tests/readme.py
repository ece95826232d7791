"""README as text, and the programs in it."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def python_with(word: str) -> str:
    """The one block of code that has a word in it."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    (code,) = (block for block in blocks if word in block)
    return code
