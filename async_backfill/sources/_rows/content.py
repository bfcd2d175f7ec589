"""Random access to the bytes of a file, packed or not, and a check whether the file has changed.

Everything here blocks, so it is called in worker threads.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader, RawIOBase
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol, TypeAlias, cast

from async_backfill._common.atomic_file import NOT_REGULAR
from async_backfill._common.each_process import EachProcess
from async_backfill._common.left_reads import check_left
from async_backfill.errors import ScenarioError
from async_backfill.sources._rows.packed import MAGIC_SIZE, Unpacking, packing_of
from async_backfill.sources._rows.reading import refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from io import BufferedRandom

    from async_backfill.sources._rows.rows import AnyPath

_PIECE: Final = 1 << 18
_GAP: Final = 1 << 14
_LONGEST_READ: Final = 1 << 20

Unpack: TypeAlias = "Callable[[BinaryIO], AbstractContextManager[Reader]]"
"""A function that opens packed bytes; damaged ones raise `OSError`, `EOFError` or `ValueError`."""


class Reader(Protocol):
    """A stream of unpacked bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to ``size`` bytes; an empty result is the end."""
        ...


class ChangedError(Exception):
    """The file has changed since it was indexed; the text says how."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Device, inode, size and time of change of a file: a write that changes none of them goes unnoticed."""

    device: int
    inode: int
    size: int
    modified: int

    @classmethod
    def of(cls, path: AnyPath) -> Identity:
        """Return the identity of the file at ``path``.

        :raises OSError: when there is no such file, or it is a device, a pipe or a socket.
        """
        found = os.stat(path)  # noqa: PTH116 - an AnyPath
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):  # a pipe would be waited for
            raise OSError(errno.EINVAL, NOT_REGULAR, os.fspath(path))
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def check(self, path: AnyPath) -> None:
        """Check that the file at ``path`` is still this one.

        :raises ChangedError: when it is not.
        """
        try:
            now = Identity.of(path)
        except OSError as error:
            raise ChangedError("it is no longer there") from error
        if now == self:
            return
        if (now.device, now.inode) != (self.device, self.inode):
            raise ChangedError("another file is in its place")
        if now.size != self.size:
            raise ChangedError(f"it has {now.size} bytes, not {self.size}")
        raise ChangedError("it was written to")


class PlainContent:
    """The bytes of a plain file, which is opened for each read: no file stays open in between."""

    # An open file would be served on after it was replaced: see decision 36 in notes.md.

    def __init__(self, path: AnyPath) -> None:
        self._path = path

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Open the file.

        :raises ChangedError: when it cannot be opened.
        """
        try:
            file = open(self._path, "rb")  # noqa: SIM115, PTH123 - closed below; an AnyPath
        except OSError as error:
            raise ChangedError("it can no longer be opened") from error
        with file:
            yield file

    def close(self) -> None:
        """Do nothing."""


class UnpackedContent:
    """The unpacked bytes of a packed file, in a private temporary file that `close` removes."""

    # gzip has no positions to seek to, and zstd only if it was packed for that: see decision 36 in notes.md.

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._process = os.getpid()
        self._lock = EachProcess(Lock)  # another thread may hold it at a fork

    @contextmanager
    def reading(self) -> Iterator[BinaryIO]:
        """Lock the temporary file, which has only one position, for the time of ``with``.

        :raises ChangedError: when it is closed.
        """
        with self._lock.get():
            if self._file.closed:
                raise ChangedError("its unpacked copy was closed")
            if self._process == os.getpid():
                yield self._file
            else:
                yield cast("BinaryIO", BufferedReader(_AtPositions(self._file.fileno())))

    def close(self) -> None:
        """Remove the temporary file, once no read is in progress."""
        with self._lock.get():
            if self._process == os.getpid():
                self._file.close()
            else:
                cast("BufferedRandom", self._file).raw.close()  # a file that is closed moves its position


class _AtPositions(RawIOBase):
    """A reader of an open file of the parent process, with a position of its own."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._file).st_size}
        self._position = start[whence] + offset
        return self._position

    def readinto(self, into: Any, /) -> int:
        count = os.preadv(self._file, [into], self._position)
        self._position += count
        return count


Content: TypeAlias = PlainContent | UnpackedContent


def open_content(path: AnyPath, *, unpack: Unpack | None, most: int, scratch: AnyPath | None) -> Content:
    """Return the content of ``path``; it is unpacked when ``unpack`` is given or its first bytes say how.

    :param most: the largest allowed size of the unpacked content, in bytes.
    :param scratch: the folder of the temporary file; ``None`` is the system's.
    :raises ScenarioError: when the file cannot be read, or is damaged or too large; names the file.
    :raises MissingExtraError: when the library that unpacks it is not installed.
    """
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - an AnyPath
            packing = packing_of(file.read(MAGIC_SIZE))
            file.seek(0)
            if unpack is not None:
                return _unpacked(path, _read_by(path, file, unpack), most, scratch)
            if packing is not None:
                return _unpacked(path, _read_packed(path, file, packing), most, scratch)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise refusal(path, error) from error
    return PlainContent(path)


def _unpacked(path: AnyPath, pieces: Iterator[bytes], most: int, scratch: AnyPath | None) -> UnpackedContent:
    beside: Any = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 - UnpackedContent closes it
    try:
        for piece in _bounded(path, pieces, most):
            check_left()
            beside.write(piece)
    except BaseException:
        beside.close()
        raise
    return UnpackedContent(beside)


def _bounded(path: AnyPath, pieces: Iterator[bytes], most: int) -> Iterator[bytes]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            raise ScenarioError(f"{path}: unpacks to more than max_unpacked={most} bytes")
        yield piece


def _read_packed(path: AnyPath, file: BinaryIO, packing: str) -> Iterator[bytes]:
    unpacking = Unpacking(path, packing)
    while piece := file.read(_PIECE):
        yield from unpacking.feed(piece)
    unpacking.finish()


def _read_by(path: AnyPath, file: BinaryIO, unpack: Unpack) -> Iterator[bytes]:
    try:
        with unpack(file) as packed:
            while piece := packed.read(_PIECE):
                yield piece
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise ScenarioError(f"{path}: the packed content is cut off or damaged: {error}") from error


def read_spans(file: BinaryIO, spans: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """Yield the bytes of each span in ``spans``: pairs (start, length), sorted and without overlap.

    Spans with at most 16 KiB between them are read in one call, up to 1 MiB.
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
