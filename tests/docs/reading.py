"""What the tests read out of a document: its examples, its commands, its links."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"
MANUAL = PROJECT / "docs"
PAGES = sorted(MANUAL.rglob("*.md"))
DOCUMENTS = [
    *sorted(PROJECT.glob("*.md")),
    *PAGES,
    *sorted(PROJECT.glob("data/*.md")),
    *sorted(PROJECT.glob("tests/*.md")),
    *sorted(PROJECT.glob("benchmarks/*.md")),
]

_EXAMPLE = re.compile(
    r"^```python\n(?P<code>(?:# (?P<file>\w+\.py)\n)?.*?)^```\n"
    r"(?:\n(?:[^\n]* )?prints?\n\n```text\n(?P<prints>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_SHELL = re.compile(r"^```sh\n(?P<lines>.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#)(?P<target>[^)#\s]+)[^)]*\)")


@dataclass(frozen=True)
class Example:
    """A block of Python; one that begins with a comment such as ``# shop.py`` is saved under that name."""

    document: Path
    line: int
    code: str
    file: str | None
    prints: str | None

    def __str__(self) -> str:
        return f"{name_of(self.document)}:{self.line}"


def name_of(document: Path) -> str:
    return document.relative_to(PROJECT).as_posix()


def examples(document: Path) -> list[Example]:
    text = document.read_text("utf-8")
    return [
        Example(
            document, text.count("\n", 0, match.start()) + 1, match["code"], match["file"], match["prints"]
        )
        for match in _EXAMPLE.finditer(text)
    ]


def commands(document: Path) -> list[list[str]]:
    """Return the words of every command in the document, comments left out."""
    blocks = _SHELL.finditer(document.read_text("utf-8"))
    lines = (line for block in blocks for line in block["lines"].splitlines())
    parts = (part for line in lines for part in line.split(" && "))
    return [words for part in parts if (words := shlex.split(part, comments=True))]


def links(document: Path) -> list[str]:
    return [match["target"] for match in _LINK.finditer(document.read_text("utf-8"))]
