"""The file of a state: opened, checked, and written in one transaction after the other."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from threading import Lock
from time import monotonic, sleep
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from async_backfill._common.atomic_file import OWNER_ALONE, reason
from async_backfill._common.left_reads import check_left
from async_backfill._jobs._errors import JobStateError
from async_backfill._jobs._state.file_systems import network_of
from async_backfill._jobs._state.schema import APPLICATION, LAYOUT, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from async_backfill._jobs._state.transaction import Transaction

T = TypeVar("T")

PATIENCE: Final = 5.0
"""The seconds for which a transaction waits while another one, of any process, writes."""

_PAUSE: Final = 0.002
_WAIT: Final = 0.05
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
# One statement, which sees one state: another may make the layout between two of them.
_WHOSE: Final = """
    SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
        (SELECT count(*) FROM sqlite_master)
"""


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
    """

    def __init__(self, path: str, *, create: bool, clock: Callable[[], float]) -> None:
        self.path = path
        self._create = create
        self._clock = clock
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def open(self) -> None:
        """Open the file, or make it."""
        with self._turn():
            self._connected()

    def close(self) -> None:
        """Close the file."""
        with self._turn():
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Return the result of ``work``, in one transaction that is committed unless it raises."""
        with self._turn():
            connection = self._connected()
            try:
                _patiently(connection, "BEGIN IMMEDIATE")
                check_left()  # who was left while he waited writes nothing
                result = work(_Open(connection, self._clock()))
                _patiently(connection, "COMMIT")
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
        end = monotonic() + PATIENCE
        while not self._lock.acquire(timeout=_WAIT):
            check_left()
            if monotonic() > end:
                raise JobStateError(f"{self.path}: a call of this process has kept it for {PATIENCE} s")
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            raise JobStateError(f"{self.path}: {_WORDS.get(code, str(error))}") from error
        except OSError as error:
            raise JobStateError(f"{self.path}: {reason(error)}") from error
        finally:
            self._lock.release()

    def _connected(self) -> sqlite3.Connection:
        there = _identity(self.path)
        if self._file is not None and there != self._file:
            raise JobStateError(f"{self.path}: {_GONE}")
        if self._connection is None:
            if there is None:
                self._make()
            if (kind := network_of(self.path)) is not None:
                raise JobStateError(
                    f"{self.path}: it is on a network file system ({kind}), where locks cannot be relied on: "
                    "name a file on a disk of this machine"
                )
            self._connection = self._new_connection()
            self._file = _identity(self.path)
        return self._connection

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
            self._check(connection)
            self._use_wal(connection)
            for pragma in ("trusted_schema = OFF", "synchronous = NORMAL", "journal_size_limit = 16777216"):
                _patiently(connection, f"PRAGMA {pragma}")
            self._check_whole(connection)
            # A file or folder that is read-only says so now, not when a page was written.
            _patiently(connection, "BEGIN IMMEDIATE")
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.rollback()
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Refuse a file that is not ours, before anything in it changes; make the layout in an empty one."""
        if self._is_ours(connection):
            return
        self._use_wal(connection)
        _patiently(connection, "BEGIN IMMEDIATE")
        if not self._is_ours(connection):  # nobody else has made it meanwhile
            for statement in LAYOUT:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")

    def _check_whole(self, connection: sqlite3.Connection) -> None:
        if _patiently(connection, "PRAGMA quick_check(1)") != [("ok",)]:
            raise JobStateError(f"{self.path}: {_DAMAGED}")

    def _use_wal(self, connection: sqlite3.Connection) -> None:
        ((mode,),) = _patiently(connection, "PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise JobStateError(f"{self.path}: its file system has no shared memory: name a local file")

    def _is_ours(self, connection: sqlite3.Connection) -> bool:
        ((application, version, tables),) = _patiently(connection, _WHOSE)
        if application != APPLICATION:
            if application or version or tables:
                raise JobStateError(f"{self.path}: {_WORDS[sqlite3.SQLITE_NOTADB]}")
            return False
        if version != VERSION:
            raise JobStateError(
                f"{self.path}: its format is {version}, this release has {VERSION}: "
                "use the release that made it, or name another file"
            )
        return True


def _patiently(connection: sqlite3.Connection, statement: str) -> list[Any]:
    """Return what ``statement`` finds; while another process is in its way it is tried again."""
    end = monotonic() + PATIENCE
    while True:
        try:
            return connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
        check_left()
        sleep(_PAUSE)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a text, and faster
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
