"""Connections of one process to the file, each used by one thread at a time."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import contextmanager, suppress
from threading import Condition, Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from async_backfill._common.atomic_file import OWNER_ALONE, reason, regular_mode
from async_backfill._common.before_forks import put_away_before_forks
from async_backfill._common.sqlite_file import (
    FORKED,
    PATIENCE,
    FileFormat,
    identity_of,
    patiently,
    primary_code,
)
from async_backfill.errors import StoreError
from async_backfill.stores._sqlite.statements import APPLICATION, BEGAN_AGAIN, BEGIN_AGAIN, LAYOUT, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PAGE: Final = 4096
TOLERANCE: Final = 1.0
"""The seconds by which the file may be ahead of the clock; more means that the machine was started anew."""

_MOST_IDLE: Final = 4
_PRAGMAS: Final = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA synchronous = NORMAL",
    "PRAGMA cache_size = -16384",
    "PRAGMA journal_size_limit = 16777216",
)
DAMAGED: Final = "it is damaged: remove it, and those beside it that end with -wal and -shm"

_WORDS: Final = MappingProxyType(
    {
        sqlite3.SQLITE_NOTADB: "it is no file of SQLiteStore: name another one",
        sqlite3.SQLITE_CORRUPT: DAMAGED,
        sqlite3.SQLITE_FULL: "the disk is full, or the file has max_bytes",
        sqlite3.SQLITE_BUSY: f"others have kept it locked for {PATIENCE} s",
    }
)
_FORMAT: Final = FileFormat(
    application=APPLICATION,
    version=VERSION,
    layout=LAYOUT.split(";"),
    page_size=PAGE,
    foreign=_WORDS[sqlite3.SQLITE_NOTADB],
    of_other_release="name another file",
    error=StoreError,
)


class Connections:
    """The connections to the file at ``path``, which is made if it is not there, for its owner alone.

    :param most_pages: the largest size of the file, in pages.
    :param longest: the largest number of bytes of a text or of a row.
    :param clock: a clock that all processes of this machine share, which never goes back while it runs.
    :param inherited: those of the processes from which this one was forked.
    """

    # SQLite notes in memory which locks its process has. A fork copies the notes and not the locks, so with a
    # connection that is open at the fork the child would write without them: see decision 118 in notes.md.

    def __init__(
        self,
        path: str,
        *,
        most_pages: int,
        longest: int,
        clock: Callable[[], float],
        inherited: Sequence[Connections] = (),
    ) -> None:
        self.path = path
        self.clock = clock
        self.writing = Lock()
        """Held while a thread of this process writes, so that they take turns."""
        self.swept = 0
        """The id of the last row that was looked at for being out of date."""
        self._most_pages = most_pages
        self._longest = longest
        self._lock = Condition(Lock())
        self._lent = 0
        self._is_forking = False
        self._may_be_used = not any(one.are_open for one in inherited)
        self._idle: list[sqlite3.Connection] = []
        self._file: tuple[int, int] | None = None
        self._closed = False
        put_away_before_forks(self)

    @contextmanager
    def one(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; an open transaction is undone at the end.

        :raises StoreError: when the file cannot be used; whatever SQLite raises inside is this error, too.
        """
        try:
            with self._in_use():
                connection, file = self._take()
                try:
                    yield connection
                    if connection.in_transaction:
                        connection.rollback()
                except sqlite3.Error:
                    connection.close()
                    raise
                except BaseException:
                    with suppress(sqlite3.Error):
                        connection.rollback()
                    self._put(connection, file)
                    raise
                self._put(connection, file)
        except sqlite3.Error as error:
            words = _WORDS.get(primary_code(error), str(error))
            raise StoreError(f"{self.path}: {words}") from error
        except OSError as error:
            raise StoreError(f"{self.path}: {reason(error)}") from error

    def close(self) -> None:
        """Close all connections, those in use as soon as they are given back."""
        if not self._may_be_used:
            return
        with self._in_use():
            with self._lock:
                self._closed = True
                idle, self._idle = self._idle, []
            for connection in idle:
                connection.close()

    @property
    def are_open(self) -> bool:
        """Whether there is one."""
        return bool(self._lent or self._idle)

    def before_fork(self) -> None:
        """Close all connections, once none is in use or after some seconds, and let none be opened."""
        if not self._lock.acquire(timeout=PATIENCE):
            return
        self._is_forking = True
        self._lock.wait_for(lambda: not self._lent, PATIENCE)
        while self._idle:
            self._idle.pop().close()

    def after_fork(self) -> None:
        """Let connections be opened again."""
        if self._is_forking:
            self._is_forking = False
            self._lock.notify_all()
            self._lock.release()

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Keep the process from being forked."""
        if not self._may_be_used:
            raise StoreError(f"{self.path}: {FORKED}")
        with self._lock:
            self._lock.wait_for(lambda: not self._is_forking)
            self._lent += 1
        try:
            yield
        finally:
            with self._lock:
                self._lent -= 1
                self._lock.notify_all()

    def _take(self) -> tuple[sqlite3.Connection, tuple[int, int]]:
        there = identity_of(self.path)
        with self._lock:
            if self._closed:
                raise StoreError(f"{self.path}: this store is closed")
            gone: list[sqlite3.Connection] = []
            if there is None or there != self._file:  # removed or replaced since it was opened
                gone, self._idle = self._idle, []
            elif self._idle:
                return self._idle.pop(), there
        for connection in gone:
            connection.close()
        if regular_mode(self.path) is None:
            _make(self.path)
        file = identity_of(self.path) or (0, 0)
        connection = self._open()
        with self._lock:
            self._file = file
        return connection, file

    def _put(self, connection: sqlite3.Connection, file: tuple[int, int]) -> None:
        with self._lock:
            keeps = not self._closed and file == self._file and len(self._idle) < _MOST_IDLE
            if keeps:
                self._idle.append(connection)
        if not keeps:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=0.0, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._longest)
            _FORMAT.prepare(connection, self.path)
            for pragma in (*_PRAGMAS, f"PRAGMA max_page_count = {self._most_pages}"):
                patiently(connection, pragma)
            self._raise_base(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _raise_base(self, connection: sqlite3.Connection) -> None:
        """Raise the base of stamps if the clock began again since the file was last written."""
        now = self.clock()
        if patiently(connection, BEGAN_AGAIN, (now + TOLERANCE,)) == [(1,)]:
            patiently(connection, BEGIN_AGAIN, (now, now + TOLERANCE))


def _make(path: str) -> None:
    """Make an empty file for its owner alone, unless there is one by now."""
    # Under another name: to close a file drops the locks that SQLite has on it in the same process.
    beside = f"{path}-{secrets.token_hex(8)}"
    os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ALONE))
    try:
        os.link(beside, path)
    except FileExistsError:
        pass
    except OSError:  # no links there
        os.rename(beside, path)  # noqa: PTH104 - a text
        return
    os.unlink(beside)  # noqa: PTH108
