"""The bytes of a file where any of them can be read: as it is, or unpacked beside; and whether it changed.

Everything here blocks, and is called in worker threads.
"""

from __future__ import annotations

import gzip
import os
import tempfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeAlias

from anyio.from_thread import check_cancelled

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.tables import GZIP_MAGIC, refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from async_backfill.sources._rows.rows import AnyPath

_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_PIECE: Final = 1 << 18
_GAP: Final = 1 << 14
_LONGEST_READ: Final = 1 << 20

Unpack: TypeAlias = "Callable[[BinaryIO], AbstractContextManager[Reader]]"
"""Opens packed bytes for reading; what it opens raises `OSError`, `EOFError` or `ValueError` for damage."""


class Reader(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes, none at the end."""
        ...


class ChangedError(Exception):
    """The file is not the one that was looked at; says how it differs."""


@dataclass(frozen=True, slots=True)
class Identity:
    """By what a file is known again: a write that changes none of these is not noticed."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: AnyPath) -> Identity:
        """Return the identity of the file that is at ``path`` now.

        :raises OSError: when there is none.
        """
        found = os.stat(path)  # noqa: PTH116 - an AnyPath
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def check(self, path: AnyPath) -> None:
        """Make sure that the file at ``path`` is still this one.

        :raises ChangedError: when not.
        """
        try:
            now = Identity.of(path)
        except OSError as error:
            raise ChangedError("it cannot be found any more") from error
        if now == self:
            return
        if (now.device, now.inode) != (self.device, self.inode):
            raise ChangedError("another file is in its place")
        if now.size != self.size:
            raise ChangedError(f"it has {now.size} bytes, not {self.size}")
        raise ChangedError("it was written to")


class PlainContent:
    """The file itself, opened for each reading: nothing is held in between."""

    def __init__(self, path: AnyPath) -> None:
        self._path = path

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Open the file.

        :raises ChangedError: when it is not there any more.
        """
        try:
            file = open(self._path, "rb")  # noqa: SIM115, PTH123 - closed below; an AnyPath
        except OSError as error:
            raise ChangedError("it cannot be opened any more") from error
        with file:
            yield file

    def close(self) -> None:
        """Do nothing."""


class UnpackedContent:
    """What a packed file holds, in a temporary file that no other program sees and that ends with this."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = Lock()

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Take the file, which has one position, until the end of ``with``.

        :raises ChangedError: when it is closed.
        """
        with self._lock:
            if self._file.closed:
                raise ChangedError("what was unpacked of it is closed")
            yield self._file

    def close(self) -> None:
        """Remove the temporary file, once nobody reads it."""
        with self._lock:
            self._file.close()


Content: TypeAlias = PlainContent | UnpackedContent


def open_content(path: AnyPath, *, unpack: Unpack | None, most: int, scratch: AnyPath | None) -> Content:
    """Return the content of ``path``, unpacked when ``unpack`` is given, or it is gzip.

    :param most: the most bytes that it may unpack to.
    :param scratch: the folder of the temporary file; ``None`` for the system's.
    :raises ScenarioError: when it cannot be read, or is damaged or too large; names the file.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - an AnyPath
            begin = file.read(4)
            file.seek(0)
            if unpack is None and begin.startswith(GZIP_MAGIC):
                unpack = _gzip
            if unpack is None and begin == _ZSTD_MAGIC:
                given = "unpack=async_backfill.sources.zstd.unpack_zstd"
                raise ScenarioError(f"{path}: packed with zstd, expected {given} to read it with")
            if unpack is not None:
                return _unpacked(path, file, unpack, most, scratch)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise refusal(path, error) from error
    return PlainContent(path)


def _gzip(file: BinaryIO) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file, mode="rb")


def _unpacked(
    path: AnyPath, file: BinaryIO, unpack: Unpack, most: int, scratch: AnyPath | None
) -> UnpackedContent:
    beside: Any = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - UnpackedContent closes it
    try:
        for piece in _pieces(path, file, unpack, most):
            check_cancelled()
            beside.write(piece)
    except BaseException:
        beside.close()
        raise
    return UnpackedContent(beside)


def _pieces(path: AnyPath, file: BinaryIO, unpack: Unpack, most: int) -> Iterator[bytes]:
    size = 0
    try:
        with unpack(file) as packed:
            while piece := packed.read(_PIECE):
                size += len(piece)
                if size > most:
                    break
                yield piece
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ScenarioError(f"{path}: packed content that is cut off or damaged: {error}") from error
    if size > most:
        raise ScenarioError(f"{path}: unpacks to more than max_unpacked={most} bytes")


def read_spans(file: BinaryIO, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bytes of each of ``spans``, (start, length), which are sorted and do not overlap.

    Spans with less than 16 KiB between them are read at once, up to 1 MiB.
    """
    first = 0
    while first < len(spans):
        begin, length = spans[first]
        end = begin + length
        last = first + 1
        while last < len(spans):
            start, length = spans[last]
            if start - end > _GAP or start + length - begin > _LONGEST_READ:
                break
            end = start + length
            last += 1
        file.seek(begin)
        content = memoryview(file.read(end - begin))
        for start, length in spans[first:last]:
            yield bytes(content[start - begin : start - begin + length])
        first = last
