"""What errors of PostgreSQL, its driver and the network mean for a state of jobs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import asyncpg

from async_backfill._common.error_text import one_line

TROUBLE: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What the driver raises; a time that is over is an `OSError`, too."""

GONE: Final = "it was removed or replaced while it was in use: put it back, or name another schema"
FOREIGN: Final = "it is no state of jobs: name another schema"

# PostgreSQL's appendix A, "Error Codes".
_CONFLICTS: Final = ("40001", "40P01")  # what would not be serial, a deadlock
_READ_ONLY: Final = "25006"
# Connection, too many of them, shutdown and start, was idle, writes no more.
_AWAY: Final = ("08", "53300", "57P", "25P03", _READ_ONLY)
_RIGHTS: Final = "this user may not do that; it must own the schema, or be allowed to create one: {}"
_WORDS: Final = MappingProxyType(
    {
        _READ_ONLY: "the server only reads: it is a replica, or set to; name the one that writes",
        "42501": _RIGHTS,
        "42P01": GONE,
        "3F000": GONE,
        "53100": "the disk of the server is full: make room and go on; what was written before is whole",
        "55P03": "another process has kept it locked: end it, or try again",
        "57014": "the server took too long for a statement: try again when it has less to do",
    }
)


def is_conflict(error: BaseException) -> bool:
    """Return whether the transaction was in the way of another one: it may be tried again at once."""
    return getattr(error, "sqlstate", None) in _CONFLICTS


def is_away(error: BaseException) -> bool:
    """Return whether there is no server, or none that answers and writes: it may come back, or another."""
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # a setting of the URL
    code = getattr(error, "sqlstate", None)
    # asyncpg's own: it has half of an answer, and the connection is of no use any more.
    return isinstance(error, (OSError, asyncpg.InternalClientError)) or (
        code is not None and code.startswith(_AWAY)
    )


def words(error: BaseException) -> str:
    """Return what is said of ``error``, in one line that says what to do where that is known."""
    code = getattr(error, "sqlstate", None) or ""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        code = _READ_ONLY
    said = one_line(str(error)) or type(error).__name__
    if isinstance(error, TimeoutError):
        said = "it does not answer"
    if code not in _WORDS and is_away(error):
        return f"no connection to the server: {said}"
    return _WORDS.get(code, "{}").replace("{}", said)
