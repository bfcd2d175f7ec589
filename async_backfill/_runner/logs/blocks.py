"""Split the bytes of a file into blocks of whole lines, in bounded memory; gzip is unpacked."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.tables import BOM, GZIP_MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK: Final = 1 << 20
_GZIP: Final = 31  # for zlib: expect a gzip header, and a checksum at the end


class LineBlocks:
    """A splitter of bytes into blocks of whole lines, each of at most about 1 MiB.

    The first bytes tell whether the file is gzip. A byte order mark is removed.

    :param name: the name of the file, for error messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._first = b""
        self._unpack: _Unpacking | None = None
        self._rest = b""
        self._is_first = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the blocks that ``piece`` completes.

        :raises ScenarioError: when the file cannot be unpacked, or has a line of more than 1 MiB.
        """
        if self._unpack is None:
            self._first += piece
            if len(self._first) < len(GZIP_MAGIC):
                return
            piece = self._start()
        for content in self._unpacked(piece):
            yield from self._cut(content)

    def finish(self) -> Iterator[bytes]:
        """Yield the rest: the last line, if it has no line end.

        :raises ScenarioError: when the gzip data was cut off.
        """
        piece = self._start() if self._unpack is None else b""
        for content in self._unpacked(piece, at_end=True):
            yield from self._cut(content)
        if self._rest:
            yield self._block(self._rest)

    def _start(self) -> bytes:
        self._unpack = _Gzip() if self._first.startswith(GZIP_MAGIC) else _Plain()
        return self._first

    def _unpacked(self, piece: bytes, *, at_end: bool = False) -> Iterator[bytes]:
        assert self._unpack is not None  # noqa: S101 - both callers have set it
        try:
            yield from self._unpack.feed(piece)
            if at_end:
                yield from self._unpack.finish()
        except (EOFError, zlib.error) as error:
            raise ScenarioError(f"{self._name}: the gzip data is cut off or damaged: {error}") from error

    def _cut(self, content: bytes) -> Iterator[bytes]:
        lines, end, self._rest = (self._rest + content).rpartition(b"\n")
        if len(self._rest) > _BLOCK:
            raise ScenarioError(f"{self._name}: has a line of more than {_BLOCK:,} bytes, expected text")
        if end:
            yield self._block(lines)

    def _block(self, lines: bytes) -> bytes:
        is_first, self._is_first = self._is_first, False
        return lines.removeprefix(BOM.encode()) if is_first else lines


class _Unpacking(Protocol):
    def feed(self, piece: bytes) -> Iterator[bytes]: ...

    def finish(self) -> Iterator[bytes]: ...


class _Plain:
    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece

    def finish(self) -> Iterator[bytes]:
        return iter(())


class _Gzip:
    """An unpacker of gzip members, at most one block at a time, at any compression ratio."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._has_begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            if not self._has_begun:
                piece = piece.lstrip(b"\0")  # padding that some programs put between members
                self._has_begun = bool(piece)
            content = self._member.decompress(piece, _BLOCK)
            if content:
                yield content
            piece = self._member.unconsumed_tail
            if self._member.eof:
                piece = self._member.unused_data
                self._member = zlib.decompressobj(_GZIP)
                self._has_begun = False

    def finish(self) -> Iterator[bytes]:
        if self._has_begun:
            yield self._member.flush()
            if not self._member.eof:
                raise EOFError("the end is missing")
