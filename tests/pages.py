"""Pages of the documentation, as their fenced blocks."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"

_FENCE = re.compile(r"^( *)```+ *(\{?[\w-]*\}?)[^\n]*\n(.*?)^\1```+ *$", re.M | re.S)
_FILE = re.compile(r"# ([\w/]+\.(?:py|yaml))\n")


@attrs.frozen
class Block:
    """A fenced block of a page: the word after the fence, its text, and the line where it begins."""

    kind: str
    text: str
    line: int

    def save(self, folder: Path) -> bool:
        """The text of a file, which has its name in the first line, is in that file; False for another block."""
        if not (name := _FILE.match(self.text)):
            return False
        path = folder / name[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.text, encoding="utf-8")
        return True


def blocks(path: Path) -> list[Block]:
    """Give the fenced blocks of a page, in order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(match[2], match[3].replace("\n" + match[1], "\n"), text.count("\n", 0, match.start()) + 1)
        for match in _FENCE.finditer(text)
    ]


def without_blocks(text: str) -> str:
    """Give what a page says outside its fenced blocks."""
    return _FENCE.sub("", text)
