"""Split the bytes of a file into blocks of whole lines, in bounded memory; packed ones are unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.binary import BINARY_SIZE, refuse_binary
from async_backfill.sources._rows.packed import MAGIC_SIZE, Unpacking, packing_of
from async_backfill.sources._rows.tables import BOM

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK: Final = 1 << 20


class LineBlocks:
    """A splitter of bytes into blocks of whole lines, each of at most about 1 MiB.

    The first bytes tell whether and how the file is packed. A byte order mark is removed.

    :param name: the name of the file, for error messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._first: bytes | None = b""
        self._unpacking: Unpacking | None = None
        self._rest = b""
        self._is_first = True

    @property
    def are_unpacked(self) -> bool:
        """Whether the file is packed, as far as its first bytes have been read."""
        return self._unpacking is not None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the blocks that ``piece`` completes.

        :raises ScenarioError: when the file cannot be unpacked, is no text, or has a line of more than 1 MiB.
        :raises MissingExtraError: when the library that unpacks it is not installed.
        """
        if self._first is not None:
            self._first += piece
            if len(self._first) < MAGIC_SIZE:
                return
            piece = self._start(self._first)
        yield from self._blocks(piece)

    def finish(self) -> Iterator[bytes]:
        """Yield the rest: the last line, if it has no line end.

        :raises ScenarioError: when the packed data was cut off.
        """
        if self._first is not None:
            yield from self._blocks(self._start(self._first))
        if self._unpacking is not None:
            self._unpacking.finish()
        if self._rest:
            yield self._block(self._rest)

    def _start(self, first: bytes) -> bytes:
        self._first = None
        packing = packing_of(first)
        self._unpacking = None if packing is None else Unpacking(self._name, packing)
        return first

    def _blocks(self, piece: bytes) -> Iterator[bytes]:
        if self._unpacking is None:
            yield from self._cut(piece)
            return
        for content in self._unpacking.feed(piece):
            yield from self._cut(content)

    def _cut(self, content: bytes) -> Iterator[bytes]:
        lines, end, self._rest = (self._rest + content).rpartition(b"\n")
        if self._is_first:
            refuse_binary(self._name, (lines or self._rest)[:BINARY_SIZE])
        if len(self._rest) > _BLOCK:
            raise ScenarioError(f"{self._name}: has a line of more than {_BLOCK:,} bytes, expected text")
        if end:
            yield self._block(lines)

    def _block(self, lines: bytes) -> bytes:
        is_first, self._is_first = self._is_first, False
        return lines.removeprefix(BOM.encode()) if is_first else lines
