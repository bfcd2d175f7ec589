"""A file of SQLite that processes of one machine share: whose it is, and patience while others write."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.left_reads import check_left

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Lock

    from async_backfill.errors import AsyncBackfillError

PATIENCE: Final = 5.0
"""The seconds for which a call waits while another one, of any process, writes."""

FORKED: Final = (
    "a call of the parent process used it as this process was forked, and SQLite allows no use of it here "
    "then: start processes with spawn, or fork while there is no call"
)
_PAUSE: Final = 0.002
_WAIT: Final = 0.05
# One statement, which sees one state: another may make the layout between two of them.
_WHOSE: Final = """
    SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
        (SELECT count(*) FROM sqlite_master)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFormat:
    """What tells a file of ours from others.

    ``application``, ``version``
        the numbers in its header.
    ``layout``
        the statements that make it of an empty file, its header included.
    ``page_size``
        of a file that is made; ``None`` for the usual one.
    ``foreign``
        what is said of a file of other software.
    ``of_other_release``
        what to do with a file of another version.
    ``error``
        is raised, with the path in front.
    """

    application: int
    version: int
    layout: Sequence[str]
    page_size: int | None = None
    foreign: str
    of_other_release: str
    error: type[AsyncBackfillError]

    def prepare(self, connection: sqlite3.Connection, path: str) -> None:
        """Refuse a file that is not ours, before anything in it changes; make the layout in an empty one.

        Then its writers and readers do not wait for each other.
        """
        if not self._has_made(connection, path):
            if self.page_size is not None:
                patiently(connection, f"PRAGMA page_size = {self.page_size}")
            self._use_wal(connection, path)
            patiently(connection, "BEGIN IMMEDIATE")
            if not self._has_made(connection, path):  # nobody else has made it meanwhile
                for statement in self.layout:
                    connection.execute(statement)
            connection.execute("COMMIT")
        self._use_wal(connection, path)

    def _use_wal(self, connection: sqlite3.Connection, path: str) -> None:
        ((mode,),) = patiently(connection, "PRAGMA journal_mode = WAL")
        if mode != "wal":
            raise self.error(f"{path}: its file system has no shared memory: name a local file")

    def _has_made(self, connection: sqlite3.Connection, path: str) -> bool:
        ((application, version, tables),) = patiently(connection, _WHOSE)
        if application != self.application:
            if application or version or tables:
                raise self.error(f"{path}: {self.foreign}")
            return False
        if version != self.version:
            ours = f"its format is {version}, this release has {self.version}"
            raise self.error(f"{path}: {ours}: {self.of_other_release}")
        return True


def patiently(connection: sqlite3.Connection, statement: str, parameters: Sequence[Any] = ()) -> list[Any]:
    """Return what ``statement`` finds; while another process is in its way it is tried again."""
    end = monotonic() + PATIENCE
    while True:
        try:
            return connection.execute(statement, parameters).fetchall()
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or monotonic() > end:
                raise
        check_left()
        sleep(_PAUSE)


def take(lock: Lock) -> bool:
    """Take ``lock``, which a thread holds while it writes; return whether it was free in time."""
    end = monotonic() + PATIENCE
    while not lock.acquire(timeout=_WAIT):
        check_left()
        if monotonic() > end:
            return False
    return True


def primary_code(error: sqlite3.Error) -> int:
    """Return what kind of error it is; 0 when it is none of SQLite itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def identity_of(path: str) -> tuple[int, int] | None:
    """Return what tells the file at ``path`` from one that takes its place; ``None`` when there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a text, and faster
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
