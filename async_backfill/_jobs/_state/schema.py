"""The layout of the state of jobs, and what tells it from other files and schemas."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

APPLICATION: Final = 0x41424B4A  # "ABKJ", in the header of the file
VERSION: Final = 3

# The counts of a shard add up, or they are not written. A key may be longer than PostgreSQL's indexes take.
_TABLES: Final = (
    """CREATE TABLE job (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, plan_hash TEXT NOT NULL, status TEXT NOT NULL,
        wanted TEXT NOT NULL, reason TEXT, settings TEXT NOT NULL, planned_by TEXT NOT NULL,
        created REAL NOT NULL, started REAL, ended REAL, seconds_running REAL NOT NULL,
        log_head TEXT NOT NULL, live_until REAL NOT NULL, plan BLOB NOT NULL
    )""",
    """CREATE UNIQUE INDEX one_active ON job (name)
        WHERE status IN ('approved', 'running', 'paused', 'verifying')""",
    """CREATE TABLE shard (
        job INTEGER NOT NULL REFERENCES job, number INTEGER NOT NULL, low BLOB, high BLOB, cursor BLOB,
        status TEXT NOT NULL, owner TEXT, generation INTEGER NOT NULL, leased_until REAL NOT NULL,
        attempts INTEGER NOT NULL, not_before REAL NOT NULL, read INTEGER NOT NULL, kept INTEGER NOT NULL,
        newer INTEGER NOT NULL, leased INTEGER NOT NULL, rejected INTEGER NOT NULL, dead INTEGER NOT NULL,
        pages INTEGER NOT NULL, repeated INTEGER NOT NULL, batch INTEGER NOT NULL, throttled TEXT, error TEXT,
        PRIMARY KEY (job, number),
        CONSTRAINT counts_add_up CHECK (read = kept + newer + leased + rejected + dead),
        CONSTRAINT no_count_is_negative CHECK (
            kept >= 0 AND newer >= 0 AND leased >= 0 AND rejected >= 0 AND dead >= 0
        )
    )""",
    """CREATE TABLE approval (
        id INTEGER PRIMARY KEY, job INTEGER NOT NULL REFERENCES job, plan_hash TEXT NOT NULL,
        by TEXT NOT NULL, reason TEXT NOT NULL, max_rows INTEGER NOT NULL, expires REAL NOT NULL, used REAL,
        revoked REAL, rows INTEGER NOT NULL
    )""",
    "CREATE INDEX approval_of ON approval (job)",
    """CREATE TABLE log (
        job INTEGER NOT NULL REFERENCES job, number INTEGER NOT NULL, at REAL NOT NULL, by TEXT NOT NULL,
        what TEXT NOT NULL, facts TEXT NOT NULL, before TEXT NOT NULL, hash TEXT NOT NULL,
        PRIMARY KEY (job, number)
    )""",
    """CREATE TABLE dead (
        job INTEGER NOT NULL REFERENCES job, digest BLOB NOT NULL, key BLOB NOT NULL, shard INTEGER NOT NULL,
        error TEXT NOT NULL, at REAL NOT NULL, rows INTEGER NOT NULL, PRIMARY KEY (job, digest, shard)
    )""",
    """CREATE TABLE finding (
        job INTEGER NOT NULL REFERENCES job, digest BLOB NOT NULL, key BLOB NOT NULL, kind TEXT NOT NULL,
        at REAL NOT NULL, PRIMARY KEY (job, digest)
    )""",
)
_TYPES: Final = MappingProxyType({"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA"})

LAYOUT: Final = (
    *_TABLES,
    "CREATE TABLE host (name TEXT NOT NULL, seen REAL NOT NULL)",
    f"PRAGMA application_id = {APPLICATION}",
    f"PRAGMA user_version = {VERSION}",
)
"""What makes a file of SQLite a state of jobs."""


def server_layout() -> Sequence[str]:
    """Return what makes an empty schema of PostgreSQL a state of jobs."""
    tables = [re.sub(r"\b(INTEGER|REAL|BLOB)\b", lambda found: _TYPES[found[0]], table) for table in _TABLES]
    about = (
        "CREATE TABLE about (application BIGINT NOT NULL, version BIGINT NOT NULL, identity UUID NOT NULL)"
    )
    return [
        *tables,
        about,
        f"INSERT INTO about VALUES ({APPLICATION}, {VERSION}, gen_random_uuid())",  # noqa: S608 - numbers
    ]
