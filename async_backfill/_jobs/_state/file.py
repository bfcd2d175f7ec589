"""The file of a state: opened, checked, and written in one transaction after the other."""

from __future__ import annotations

import math
import os
import sqlite3
from contextlib import contextmanager, suppress
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill._common.atomic_file import OWNER_ALONE, reason
from async_backfill._common.before_forks import put_away_before_forks
from async_backfill._common.left_reads import check_left
from async_backfill._common.sqlite_file import (
    FORKED,
    PATIENCE,
    FileFormat,
    identity_of,
    patiently,
    primary_code,
    take,
)
from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.file_systems import network_of
from async_backfill._jobs._state.host import this_host
from async_backfill._jobs._state.schema import APPLICATION, LAYOUT, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from async_backfill.contracts import Transaction

T = TypeVar("T")

_DAMAGED: Final = "it is damaged: put a copy of it in its place, or name another file and plan anew"
_UNWRITABLE: Final = "it cannot be written: look at the rights of the file and of its folder"
_WORDS: Final = MappingProxyType(
    {
        sqlite3.SQLITE_NOTADB: "it is no state of jobs: name another file",
        sqlite3.SQLITE_CORRUPT: _DAMAGED,
        sqlite3.SQLITE_FULL: "the disk is full: make room and go on; what was written before is whole",
        sqlite3.SQLITE_BUSY: f"another process has kept it locked for {PATIENCE} s: end it, or try again",
        sqlite3.SQLITE_IOERR: (
            "its disk does not read or write: is it there, is it full, is the size of files limited? "
            "What was written before is whole"
        ),
        sqlite3.SQLITE_READONLY: _UNWRITABLE,
        sqlite3.SQLITE_CANTOPEN: _UNWRITABLE,
        sqlite3.SQLITE_PERM: _UNWRITABLE,
    }
)
_GONE: Final = "it was removed or replaced while it was in use: put it back, or name another file"
_BY_OTHERS: Final = (
    "another machine has used it {:.0f} s ago, and a file is for one: keep the jobs in PostgreSQL, by "
    "--state postgresql://... (if this machine was restarted just now, wait {:g} s)"
)
_HOST_LEFT: Final = 30.0  # seconds after which a machine that is not heard of has left the file
_HOST_NOTED: Final = 5.0
_FORMAT: Final = FileFormat(
    application=APPLICATION,
    version=VERSION,
    layout=LAYOUT,
    foreign=_WORDS[sqlite3.SQLITE_NOTADB],
    of_other_release="use the release that made it, or name another file",
    error=JobStateError,
)


class _Open:
    """An open transaction; implements `Transaction`."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self._connection = connection
        self._now = now

    def rows(self, statement: str, /, *values: Any) -> Sequence[tuple[Any, ...]]:
        """Run ``statement`` and return the rows of its answer."""
        return self._connection.execute(statement, values).fetchall()

    def now(self) -> float:
        """Return the time at which the transaction began."""
        return self._now


class StateFile:
    """The one connection of this process to the file; its calls wait, and raise `JobStateError`.

    :param create: whether a file that is not there is made.
    :param host: what this machine is known by; found out if left out.
    :param inherited: those of the processes from which this one was forked.
    """

    def __init__(
        self,
        path: str,
        *,
        create: bool,
        clock: Callable[[], float],
        host: str | None = None,
        inherited: Sequence[StateFile] = (),
    ) -> None:
        self.path = path
        self._create = create
        self._clock = clock
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None
        self._host = host or this_host()
        self._noted = -math.inf
        self._is_put_away = False
        self._may_be_used = not any(one.is_open for one in inherited)
        put_away_before_forks(self)

    def open(self) -> None:
        """Open the file, or make it."""
        with self._turn():
            self._connected()

    def close(self) -> None:
        """Close the file."""
        if not self._may_be_used:
            return
        with self._turn():
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def before_fork(self) -> None:
        """Wait for the call that uses the connection, for some seconds at most, and close it.

        As with `Connections` of a store, a fork would have SQLite's notes of its locks, and not the locks.
        """
        if self._lock.acquire(timeout=PATIENCE):
            self._is_put_away = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def after_fork(self) -> None:
        """Let the file be used again."""
        if self._is_put_away:
            self._is_put_away = False
            self._lock.release()

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Return the result of ``work``, in one transaction that is committed unless it raises."""
        with self._turn():
            connection = self._connected()
            try:
                patiently(connection, "BEGIN IMMEDIATE")
                check_left()  # who was left while he waited writes nothing
                now = self._clock()
                noted = self._noted
                if abs(now - noted) >= _HOST_NOTED:
                    self._note_host(connection, noted := now)
                result = work(_Open(connection, now))
                patiently(connection, "COMMIT")
                self._noted = noted
            except BaseException as error:
                with suppress(sqlite3.Error):
                    connection.rollback()
                if isinstance(error, sqlite3.Error):
                    self._connection = None
                    connection.close()
                raise
            return result

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._may_be_used:
            raise JobStateError(f"{self.path}: {FORKED}")
        if not take(self._lock):
            raise JobStateError(f"{self.path}: a call of this process has kept it for {PATIENCE} s")
        try:
            yield
        except sqlite3.Error as error:
            raise JobStateError(f"{self.path}: {_WORDS.get(primary_code(error), str(error))}") from error
        except OSError as error:
            raise JobStateError(f"{self.path}: {reason(error)}") from error
        finally:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        there = identity_of(self.path)
        if self._file is not None and there != self._file:
            raise JobStateError(f"{self.path}: {_GONE}")
        if self._connection is None:
            if there is None:
                self._make()
            if (kind := network_of(self.path)) is not None:
                raise JobStateError(
                    f"{self.path}: it is on a network file system ({kind}), where locks cannot be relied on: "
                    "name a file on a disk of this machine, or PostgreSQL for several"
                )
            self._connection = self._new_connection()
            self._file = identity_of(self.path)
        return self._connection

    def _note_host(self, connection: sqlite3.Connection, now: float) -> None:
        """Note that this machine uses the file; refuse that while another one does."""
        for host, seen in connection.execute("SELECT name, seen FROM host").fetchall():
            if host != self._host and abs(now - seen) < _HOST_LEFT:
                raise JobStateError(f"{self.path}: {_BY_OTHERS.format(abs(now - seen), _HOST_LEFT)}")
        connection.execute("DELETE FROM host")
        connection.execute("INSERT INTO host VALUES (?, ?)", (self._host, now))

    def _make(self) -> None:
        if not self._create:
            raise JobStateError(f"{self.path}: there is no such state of jobs: plan a job, or name its file")
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ALONE))

    def _new_connection(self) -> sqlite3.Connection:
        if not os.path.isfile(self.path):  # noqa: PTH113 - a text
            raise JobStateError(f"{self.path}: it is no regular file: name another one")
        connection = sqlite3.connect(
            self.path, timeout=0.0, isolation_level=None, check_same_thread=False, cached_statements=128
        )
        try:
            _FORMAT.prepare(connection, self.path)
            for pragma in ("trusted_schema = OFF", "synchronous = NORMAL", "journal_size_limit = 16777216"):
                patiently(connection, f"PRAGMA {pragma}")
            self._check_whole(connection)
            # A file or folder that is read-only says so now, not when a page was written.
            patiently(connection, "BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_whole(self, connection: sqlite3.Connection) -> None:
        if patiently(connection, "PRAGMA quick_check(1)") != [("ok",)]:
            raise JobStateError(f"{self.path}: {_DAMAGED}")
