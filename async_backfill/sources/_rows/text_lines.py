"""The lines of a file as text, each with its position in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from async_backfill.sources._rows.rows import AnyPath


class TextLines:
    """An iterator over the lines of a file as text, which knows its position.

    ``position`` and ``line`` are the byte and the number of the next line. The row that starts at
    ``row_start`` may have up to ``longest`` bytes.
    """

    def __init__(self, path: AnyPath, file: BinaryIO, longest: int, *, position: int, line: int) -> None:
        self._path = path
        self._file = file
        self._longest = longest
        self.position = position
        self.row_start = position
        self.line = line

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        content = self._file.readline(self._longest + 1)
        if not content:
            raise StopIteration
        length = len(content)
        if self.position + length - self.row_start > self._longest:
            raise ScenarioError(
                f"{self._path}:{self.line}: the row is longer than max_line={self._longest} bytes"
            )
        try:
            text = content.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_text(self._path, self.line, self.position, content, error) from error
        self.position += length
        self.line += 1
        return text


def not_text(
    path: AnyPath, line: int, position: int, content: bytes, error: UnicodeDecodeError
) -> ScenarioError:
    """Return the error for a line that is not UTF-8."""
    wrong = content[error.start]
    place = position + error.start
    return ScenarioError(f"{path}:{line}: not UTF-8 text: byte {place} is 0x{wrong:02x}")
