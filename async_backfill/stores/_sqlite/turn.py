"""One writing transaction: nobody else writes meanwhile, in any process."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from async_backfill._common.left_reads import check_left
from async_backfill._common.sqlite_file import PATIENCE, patiently, take
from async_backfill.errors import StalePageError, StoreError
from async_backfill.stores._sqlite import statements
from async_backfill.stores._sqlite.connections import DAMAGED, PAGE, TOLERANCE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from async_backfill._envelopes.versions import VersionPlace
    from async_backfill.stores._sqlite.connections import Connections

TRACE: Final = 60.0
"""The seconds for which the trace of a removal, or of a value that has expired, is kept."""

_ROW: Final = 30  # bytes of a row beside name and envelope
_SHARES: Final = 8  # of the room, the most that is written before it is looked at again
_MOST_EVICTIONS: Final = 1_000
_LEAST_LOOKED_AT: Final = 16
_EVICTED: Final = (
    "the store is full, and has evicted what was written after this page was read: read it again"
)


class Turn:
    """The transaction, and what it found: the stamp of now, and how far a page must reach.

    Stamps are times of a clock that all processes of a machine share, plus ``base``. When the machine is
    started anew that clock begins again; the base is then raised, so that stamps never go back.
    """

    def __init__(
        self, connections: Connections, connection: sqlite3.Connection, now: float, room: int
    ) -> None:
        self._connections = connections
        self._run = connection.execute
        self._room = room
        state = self._run(statements.STATE).fetchone()
        if state is None:
            raise StoreError(f"{connections.path}: {DAMAGED}")
        self._base, self._newest, self._evicted = cast("tuple[float, float, float]", state[:3])
        self._last: int = state[3] or 0
        self._evictions = 0
        self._now = now
        here = self._base + now
        if self._newest > here + TOLERANCE:
            raise StoreError(
                f"{connections.path}: another process wrote it {self._newest - here:.1f} s in the future: "
                "all must be on one machine, or in containers that share its clock"
            )
        # Above all that was stamped before, also where the clock has not moved on.
        self.stamp = math.nextafter(max(here, self._newest), math.inf)

    @property
    def next(self) -> int:
        """The id of the row that is written next."""
        return self._last + 1

    def keep(
        self,
        rows: Sequence[Any],
        until: float | None,
        stamp: float | None = None,
        version: VersionPlace | None = None,
    ) -> int:
        """Keep ``rows``, name and envelope in turn; return how many were kept.

        :param stamp: of a page: rows that have a later one stay. ``None`` replaces all, as of now.
        :param version: where envelopes have what is compared in place of stamps, if both have it.
        """
        kept = at = 0
        most = statements.MOST
        while at < len(rows):
            size = min(most, 1 << (len(rows) - at).bit_length() - 2)
            part = rows[at : at + 2 * size]
            space = sum(map(_space, part[::2], part[1::2]))
            if size > 1 and space > self._room // _SHARES:
                most = size // 2
                continue
            at += 2 * size
            self._make_room(space)
            if stamp is not None and stamp < self._evicted:
                raise StalePageError(_EVICTED)
            statement = statements.keep(size, guarded=stamp is not None, version=version)
            settings = (self._last + 1, self.stamp if stamp is None else stamp, until)
            kept += self._run(statement, (*settings, *part)).rowcount
            self._last += size
        return kept

    def left(self, names: Sequence[bytes], before: int) -> set[bytes]:
        """Return those of ``names`` whose rows are there since before the row with the id ``before``."""
        found: set[bytes] = set()
        at = 0
        for size in statements.sizes(len(names), statements.MOST):
            rows = self._run(statements.left(size), (before, *names[at : at + size]))
            found.update(name for (name,) in rows)
            at += size
        return found

    def of_page(self, read_at: float, deadline: float, namespace: str) -> float | None:
        """Return the stamp of a page; ``None`` when all of it was cleared after it was read.

        :raises StalePageError: when it was read too long ago.
        """
        ago = self._now - read_at
        if ago > deadline:
            raise StalePageError(f"the page was read {ago:.1f} s ago, at most {deadline} s are allowed")
        stamp = self._base + read_at
        if stamp < self._evicted:
            raise StalePageError(_EVICTED)
        cleared = self._run(statements.CLEARED, (namespace,)).fetchone()
        return None if cleared is not None and stamp < cleared[0] else stamp

    def clear(self, namespace: str) -> int:
        """Take note that ``namespace`` is cleared now; return the id of the last row that is there."""
        self._run(statements.CLEAR, (namespace, self.stamp))
        self._run(statements.UNMARK_ALL, (namespace,))
        return self._last

    def mark(self, namespace: str, name: str, value: str | None) -> None:
        """Keep the mark of a job; ``None`` removes it."""
        if value is None:
            self._run(statements.UNMARK, (namespace, name))
        else:
            self._run(statements.MARK, (namespace, name, value))

    def end(self, rows: int, wall: float) -> None:
        """Remove some of what is out of date, in passing, and take note of the time."""
        connections = self._connections
        most = max(_LEAST_LOOKED_AT, rows)
        last, looked_at = self._run(statements.LOOK, (connections.swept, most)).fetchone()
        if last is not None:
            self._run(statements.SWEEP, (connections.swept, last, self.stamp - TRACE, wall))
        connections.swept = last if looked_at == most else 0
        said = (self.stamp, self._evicted, self._evictions)
        self._run("UPDATE state SET newest = ?, evicted = ?, evictions = evictions + ?", said)

    def _make_room(self, needed: int) -> None:
        for _ in range(_MOST_EVICTIONS):
            ((pages,),) = self._run("PRAGMA page_count").fetchall()
            ((free,),) = self._run("PRAGMA freelist_count").fetchall()
            if (pages - free) * PAGE + needed <= self._room:
                return
            last, stamp = self._run(statements.OLDEST).fetchone()
            if last is None:
                return
            self._evicted = max(self._evicted, stamp)
            self._evictions += self._run(statements.EVICT, (last,)).rowcount


@contextmanager
def turn(connections: Connections, room: int) -> Iterator[Turn]:
    """Begin a writing transaction, which is committed unless something is raised.

    :param room: the bytes that the file may have after it.
    """
    if not take(connections.writing):
        raise StoreError(f"{connections.path}: a call of this process has kept it locked for {PATIENCE} s")
    try:
        with connections.one() as connection:
            patiently(connection, "BEGIN IMMEDIATE")
            # Who was left while he waited writes nothing: those who came later may have written already.
            check_left()
            made = Turn(connections, connection, connections.clock(), room)
            yield made
            connection.execute("COMMIT")
    finally:
        connections.writing.release()


def _space(name: bytes, envelope: bytes | None) -> int:
    """Return about how many bytes of the file a row takes."""
    index = 2 * (len(name) + _ROW)
    size = len(name) + _ROW + (0 if envelope is None else len(envelope))
    return index + (PAGE // (PAGE // size) if size < PAGE else size + PAGE)
