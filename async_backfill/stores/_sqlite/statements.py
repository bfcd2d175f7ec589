"""The layout of the file, and the statements; all rows of a call go through one statement, in one step.

A step of SQLite lets other threads run, and each return from it may wait for a busy one. So what is found is
joined to one text, in place of a row for each key.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

from async_backfill._envelopes.versions import SIZE

if TYPE_CHECKING:
    from async_backfill._envelopes.versions import VersionPlace

APPLICATION: Final = 0x41424B46  # "ABKF", in the header of the file
VERSION: Final = 2

# ``id`` rises with each write of a row, so it is the order of age. A row without an envelope is the trace of
# a removal. Stamps are of the clock of all processes plus ``base``: see `Turn`. ``until`` is a wall clock's.
LAYOUT: Final = f"""
    CREATE TABLE entry (
        id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE, stamp REAL NOT NULL, until REAL, envelope BLOB
    );
    CREATE TABLE cleared (namespace TEXT PRIMARY KEY, stamp REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE mark (
        namespace TEXT, name TEXT, value TEXT NOT NULL, PRIMARY KEY (namespace, name)
    ) WITHOUT ROWID;
    CREATE TABLE state (
        base REAL NOT NULL, newest REAL NOT NULL, evicted REAL NOT NULL, evictions INTEGER NOT NULL
    );
    INSERT INTO state VALUES (0.0, -1e300, -1e300, 0);
    PRAGMA application_id = {APPLICATION};
    PRAGMA user_version = {VERSION}
"""

MOST: Final = 256
"""The number of rows of one statement that writes; one that reads has `MOST_READ`."""
MOST_READ: Final = 512


@cache
def keep(rows: int, *, guarded: bool, version: VersionPlace | None = None) -> str:
    """Return the statement that keeps ``rows`` rows: compare and set, in one.

    Parameters: the first id, the stamp, the end, then name and envelope of each row.

    :param guarded: whether a row stays that has a later stamp.
    :param version: where envelopes have versions; where both have one, it is compared in place of stamps.
    """
    values = ", ".join(f"(?1 + {row}, ?{4 + 2 * row}, ?2, ?3, ?{5 + 2 * row})" for row in range(rows))
    return (
        f"INSERT INTO entry (id, name, stamp, until, envelope) VALUES {values}"
        " ON CONFLICT (name) DO UPDATE SET id = excluded.id, stamp = excluded.stamp, until = excluded.until,"
        " envelope = excluded.envelope" + (f" WHERE {_is_no_later(version)}" if guarded else "")
    )


@cache
def left(names: int) -> str:
    """Return the statement for those of ``names`` names that were written last before the id in front."""
    return f"SELECT name FROM entry WHERE id < ?1 AND name IN ({', '.join(['?'] * names)})"


@cache
def find(names: int) -> str:
    """Return the statement for the envelopes of ``names`` names, in hexadecimal and joined by commas.

    Parameters: the time of the wall clock, the most bytes of an envelope, then the names.
    """
    return (
        "SELECT group_concat(hex(substr(entry.envelope, 1, ?2))) FROM"
        f" (VALUES {', '.join(f'(?{3 + name})' for name in range(names))}) AS wanted"
        " LEFT JOIN entry ON entry.name = wanted.column1 AND (entry.until IS NULL OR entry.until > ?1)"
    )


BEGAN_AGAIN: Final = "SELECT newest > base + ? FROM state"
_REAL: Final = "typeof(base) = 'real' AND typeof(newest) = 'real' AND typeof(evicted) = 'real'"
BEGIN_AGAIN: Final = "UPDATE state SET base = newest - ?1 + 1.0 WHERE newest > base + ?2"
STATE: Final = f"SELECT base, newest, evicted, (SELECT max(id) FROM entry) FROM state WHERE {_REAL}"
CLEARED: Final = "SELECT CAST(stamp AS REAL) FROM cleared WHERE namespace = ?"
CLEAR: Final = (
    "INSERT INTO cleared VALUES (?, ?)"
    " ON CONFLICT (namespace) DO UPDATE SET stamp = max(stamp, excluded.stamp)"
)
NAMES: Final = (
    "SELECT name FROM entry WHERE name > ? AND name < ? AND envelope IS NOT NULL"
    " AND (until IS NULL OR until > ?) ORDER BY name LIMIT ?"
)
CLEAR_SOME: Final = (
    "DELETE FROM entry WHERE id IN (SELECT id FROM entry WHERE name >= ? AND name < ? AND id <= ? LIMIT 5000)"
)
MARK: Final = (
    "INSERT INTO mark VALUES (?, ?, ?) ON CONFLICT (namespace, name) DO UPDATE SET value = excluded.value"
)
MARKED: Final = "SELECT value FROM mark WHERE namespace = ? AND name = ?"
UNMARK: Final = "DELETE FROM mark WHERE namespace = ? AND name = ?"
UNMARK_ALL: Final = "DELETE FROM mark WHERE namespace = ?"
USED: Final = (
    "SELECT (SELECT page_count FROM pragma_page_count) - (SELECT freelist_count FROM pragma_freelist_count),"
    " evictions FROM state"
)
OLDEST: Final = (
    "SELECT max(id), CAST(max(stamp) AS REAL) FROM (SELECT id, stamp FROM entry ORDER BY id LIMIT 200)"
)
EVICT: Final = "DELETE FROM entry WHERE id <= ?"
LOOK: Final = "SELECT max(id), count(*) FROM (SELECT id FROM entry WHERE id > ? ORDER BY id LIMIT ?)"
SWEEP: Final = "DELETE FROM entry WHERE id > ? AND id <= ? AND stamp < ? AND (envelope IS NULL OR until <= ?)"


def _is_no_later(version: VersionPlace | None) -> str:
    by_time = "entry.stamp <= excluded.stamp"
    if version is None:
        return by_time
    starts, at = ", ".join(f"x'{start.hex()}'" for start in version.starts), version.at + 1
    return (
        f"CASE WHEN substr(entry.envelope, 1, {len(version.starts[0])}) IN ({starts})"
        f" THEN substr(entry.envelope, {at}, {SIZE}) <= substr(excluded.envelope, {at}, {SIZE})"
        f" ELSE {by_time} END"
    )


def sizes(total: int, most: int) -> list[int]:
    """Return numbers of rows, ``most`` and powers of two below it, whose sum is ``total``: few statements."""
    whole, left = divmod(total, most)
    return [most] * whole + [1 << bit for bit in reversed(range(left.bit_length())) if left >> bit & 1]
