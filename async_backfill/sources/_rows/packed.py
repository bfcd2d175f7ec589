"""Unpack gzip, zstd, bz2 and xz, told by the first bytes, piece by piece and in bounded memory."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, Final, Protocol

from async_backfill._common.extras import needed_by
from async_backfill.errors import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from async_backfill.sources._rows.rows import AnyPath

MAGIC_SIZE: Final = 10
"""The number of bytes at the begin of a file that tell how it is packed."""

_BLOCK: Final = 1 << 20
_GZIP_HEADER: Final = 31  # for zlib: expect a gzip header, and a checksum at the end
_XZ_MEMORY: Final = 1 << 27
_KINDS: Final = (
    ("gzip", re.compile(rb"\x1f\x8b")),
    ("zstd", re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18")),
    ("bz2", re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)")),
    ("xz", re.compile(rb"\xfd7zXZ\0")),
)


class _Member(Protocol):
    """An unpacker of one member: a gzip member, a frame of zstd, a stream of bz2 or xz."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def packing_of(begin: bytes) -> str | None:
    """Return how a file is packed whose first bytes are ``begin``, or ``None`` when it is not."""
    return next((name for name, magic in _KINDS if magic.match(begin)), None)


class Unpacking:
    """An unpacker of members one after another, at most about a MiB at a time, at any compression ratio.

    Zeros between members are padding.

    :param path: the file, for error messages.
    :param packing: a result of `packing_of`.
    :raises MissingExtraError: when the library for zstd is not installed.
    """

    def __init__(self, path: AnyPath, packing: str) -> None:
        self._path = path
        self._packing = packing
        self._make, self._errors = _library(path, packing)
        self._member = self._make()
        self._has_begun = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield what ``piece`` unpacks to.

        :raises ScenarioError: when it is damaged.
        """
        try:
            while piece:
                if not self._has_begun:
                    piece = piece.lstrip(b"\0")
                    self._has_begun = bool(piece)
                while not self._member.eof:
                    if content := self._member.decompress(piece, _BLOCK):
                        yield content
                    piece = b""
                    if self._member.needs_input:
                        return
                piece = self._member.unused_data
                self._member = self._make()
                self._has_begun = False
        except self._errors as error:
            raise self._damaged(error) from error

    def finish(self) -> None:
        """Check that the last member was whole.

        :raises ScenarioError: when it was cut off.
        """
        if self._has_begun:
            raise self._damaged("the end is missing")

    def _damaged(self, what: object) -> ScenarioError:
        return ScenarioError(f"{self._path}: the {self._packing} data is cut off or damaged: {what}")


class _GzipMember:
    """A `_Member` of gzip: zlib's own object counts what it has not read in another way."""

    def __init__(self) -> None:
        self._unpacker = zlib.decompressobj(_GZIP_HEADER)
        self._is_full = False

    @property
    def eof(self) -> bool:
        return self._unpacker.eof

    @property
    def needs_input(self) -> bool:
        return not (self._is_full or self._unpacker.unconsumed_tail or self._unpacker.eof)

    @property
    def unused_data(self) -> bytes:
        return self._unpacker.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        content = self._unpacker.decompress(self._unpacker.unconsumed_tail + data, max_length)
        self._is_full = len(content) == max_length
        return content


def _library(path: AnyPath, packing: str) -> tuple[Callable[[], _Member], tuple[type[Exception], ...]]:
    """Return what unpacks a member, and the errors that it raises for damaged ones."""
    if packing == "gzip":
        return _GzipMember, (zlib.error,)
    if packing == "zstd":
        with needed_by(f"{path}: is packed with zstd", "zstd", "backports"):
            from async_backfill._common.zstd import ZstdDecompressor, ZstdError  # noqa: PLC0415 - an extra
        return ZstdDecompressor, (ZstdError,)
    try:
        import bz2  # noqa: PLC0415 - a Python may be built without
        import lzma  # noqa: PLC0415 - as above
    except ImportError as error:
        raise ScenarioError(
            f"{path}: is packed with {packing}, which this Python was built without"
        ) from error
    if packing == "bz2":
        return bz2.BZ2Decompressor, (OSError, ValueError)
    return lambda: _xz(lzma), (lzma.LZMAError,)


def _xz(lzma: Any) -> _Member:
    member: _Member = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    return member
