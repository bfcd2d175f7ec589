"""What a store asks of its file, each call in a thread."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from async_backfill._common.left_reads import check_left
from async_backfill._common.sqlite_file import patiently, primary_code
from async_backfill.stores._sqlite import statements
from async_backfill.stores._sqlite.connections import PAGE
from async_backfill.stores._sqlite.turn import turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from async_backfill._envelopes.versions import VersionPlace
    from async_backfill.stores._sqlite.connections import Connections
    from async_backfill.stores._sqlite.page import Read

_SPARE: Final = 0.95


class Calls:
    """The calls of one namespace; all of them may wait, and raise `StoreError`.

    :param max_bytes: the largest size of the file.
    :param longest: the largest size of an envelope.
    """

    def __init__(self, connections: Connections, namespace: str, max_bytes: int, longest: int) -> None:
        self._connections = connections
        self._namespace = namespace
        self._room = int(max_bytes * _SPARE) - PAGE
        self._longest = longest

    def open(self) -> None:
        """Open the file, or make it."""
        with self._connections.one():
            pass

    def find(self, names: Sequence[bytes], wall: float) -> list[bytes | None]:
        """Return the envelopes of ``names``, or a byte more than the longest one may have."""
        with self._connections.one() as connection:
            if len(names) > statements.MOST_READ:
                patiently(connection, "BEGIN")  # all of them as they are at one moment
            found: list[bytes | None] = []
            for at in range(0, len(names), statements.MOST_READ):
                found += self._find(connection, names[at : at + statements.MOST_READ], wall)
            return found

    def names(self, after: object | None, most: int, wall: float) -> list[bytes]:
        """Return up to ``most`` names of the namespace that have envelopes, behind ``after``, in order."""
        start, end = f"{self._namespace}:".encode(), f"{self._namespace};".encode()
        settings = (after if isinstance(after, bytes) else start, end, wall, most)
        with self._connections.one() as connection:
            return [name for (name,) in connection.execute(statements.NAMES, settings)]

    def put(
        self, names: Sequence[bytes], sealed: Sequence[bytes | None], until: float | None, wall: float
    ) -> None:
        """Keep envelopes, whatever is there; ``None`` removes."""
        with turn(self._connections, self._room) as it:
            it.keep(_rows(names, sealed), until)
            it.end(len(names), wall)

    def put_page(
        self, groups: Sequence[Read], version: VersionPlace | None, deadline: float, wall: float
    ) -> tuple[int, frozenset[bytes]]:
        """Keep the envelopes of a page; return how many are kept, and the names of those that are newer.

        :param version: where the envelopes have versions, if they do.
        :raises StalePageError: when some were read too long ago.
        """
        kept, newer = 0, set[bytes]()
        with turn(self._connections, self._room) as it:
            for group in groups:
                stamp = it.of_page(group.read_at, deadline, self._namespace)
                if stamp is None:
                    newer.update(group.names)
                    continue
                first = it.next
                some = it.keep(_rows(group.names, group.envelopes), group.until, stamp, version)
                kept += some
                if some < len(group.names):
                    newer |= it.left(group.names, first)
                it.keep(_rows(group.unkept, [None] * len(group.unkept)), None, stamp)
            it.end(sum(len(group.names) for group in groups), wall)
        return kept, frozenset(newer)

    def mark(self, name: str, value: str | None) -> None:
        """Keep the mark of a job; ``None`` removes it."""
        with turn(self._connections, self._room) as it:
            it.mark(self._namespace, name, value)

    def marked(self, name: str) -> str | None:
        """Return the mark of a job, if there is one."""
        with self._connections.one() as connection:
            found = patiently(connection, statements.MARKED, (self._namespace, name))
            return found[0][0] if found else None

    def used(self) -> tuple[int, int]:
        """Return the bytes in use, and how many rows of the file were ever evicted."""
        with self._connections.one() as connection:
            ((pages, evictions),) = patiently(connection, statements.USED)
            return pages * PAGE, evictions

    def clear(self) -> None:
        """Remove all rows of the namespace that are there now, some at a time."""
        with turn(self._connections, self._room) as it:
            last = it.clear(self._namespace)
            it.end(0, 0.0)
        start, end = f"{self._namespace}:".encode(), f"{self._namespace};".encode()
        gone = 1
        while gone:
            check_left()
            with self._connections.one() as connection:
                patiently(connection, "BEGIN IMMEDIATE")
                gone = connection.execute(statements.CLEAR_SOME, (start, end, last)).rowcount
                connection.execute("COMMIT")

    def _find(
        self, connection: sqlite3.Connection, names: Sequence[bytes], wall: float
    ) -> list[bytes | None]:
        size = 1 << (len(names) - 1).bit_length()  # few statements, for none has to be made anew
        padding = [None] * (size - len(names))
        settings = (wall, self._longest + 1, *names, *padding)
        try:
            ((text,),) = patiently(connection, statements.find(size), settings)
        except sqlite3.DataError as error:
            if primary_code(error) != sqlite3.SQLITE_TOOBIG:
                raise
            return self._find_in_parts(connection, names, wall)
        return [bytes.fromhex(envelope) or None for envelope in text.split(",")[: len(names)]]

    def _find_in_parts(
        self, connection: sqlite3.Connection, names: Sequence[bytes], wall: float
    ) -> list[bytes | None]:
        if len(names) == 1:
            return [bytes(self._longest + 1)]
        half = len(names) // 2
        return [
            *self._find(connection, names[:half], wall),
            *self._find(connection, names[half:], wall),
        ]


def _rows(names: Sequence[bytes], sealed: Sequence[bytes | None]) -> list[Any]:
    """Return names and envelopes in turn."""
    rows: list[Any] = [None] * (2 * len(names))
    rows[::2] = names
    rows[1::2] = sealed
    return rows
