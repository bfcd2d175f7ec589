"""Translate errors of a database, its driver and SQLAlchemy into errors of one line."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sqlalchemy.exc import DataError, InterfaceError, NotSupportedError, ProgrammingError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from async_backfill.errors import AsyncBackfillError, ConfigurationError

TROUBLE: Final = (SQLAlchemyError, OSError, OverflowError)
"""Errors of a query on an open connection.

SQLAlchemy passes asyncpg's network errors on unchanged, and SQLite's for a number beyond 64 bits.
"""

# PostgreSQL's appendix A, "Error Codes".
_WRONG_NAMES: Final = MappingProxyType({"42P01": "table", "42703": "column"})
_UNREACHABLE: Final = ("08", "53300", "57P")  # connection, too many connections, shutdown and start
_LONGEST: Final = 300
# A cast, an operator or a function that there is not for the type of a key.
_WRONG_KINDS: Final = ("22", "42883", "42804", "42846")
_NOT_PREPARED: Final = ("26000", "42P05")  # there is no such prepared statement; there is one of that name
_POOLED: Final = (
    "a pooler such as PgBouncer gives a connection to several clients in turn: open the database with the "
    "engine options that the manual names for it"
)


class QueryError(AsyncBackfillError):
    """The database refused or stopped a query; the text is one line, and SQLAlchemy's error is the cause."""


class KeysRefusedError(QueryError):
    """The database refused a key of the query because of its type or size."""


def is_outdated(error: Exception) -> bool:
    """Return whether ``error`` means that a plan was made before the table or its types changed."""
    driver = getattr(error, "orig", None)
    where = getattr(
        getattr(driver, "diag", None), "source_function", None
    )  # psycopg's; the text is translated
    return type(driver).__name__ == "InvalidCachedStatementError" or where == "RevalidateCachedQuery"


def is_not_prepared(error: object) -> bool:
    """Return whether ``error``, of a driver, means that its connection was prepared by others."""
    return getattr(error, "sqlstate", None) in _NOT_PREPARED


def is_lost(error: Exception) -> bool:
    """Return whether ``error`` means that an open connection was lost."""
    is_broken = isinstance(error, OSError) and not isinstance(error, TimeoutError)
    return is_broken or bool(getattr(error, "connection_invalidated", False))


def refusal(error: Exception, *, place: str | None, is_connected: bool) -> Exception:
    """Return the error to raise in place of ``error``.

    ``error`` is one of `TROUBLE`. Without a connection it can be any: SQLAlchemy passes some on unchanged.

    :param place: the server, such as ``localhost:5432``; ``None`` for a file.
    :param is_connected: whether the connection was open before the error.
    """
    driver = getattr(error, "orig", None) or error
    code = getattr(driver, "sqlstate", None) or ""
    problem = _line(driver if driver is error else driver.__cause__ or driver)
    if isinstance(error, TypeError):  # a setting in the URL becomes an argument of the driver
        return ConfigurationError("url", f"has a setting that the driver does not know: {problem}")
    if code in _NOT_PREPARED:
        return QueryError(f"{problem.partition(' HINT:')[0]}: {_POOLED}")
    if is_connected and is_lost(error):
        return ConnectionError(f"the connection to the database was lost: {problem}")
    if is_connected and isinstance(error, TimeoutError):  # the driver's own timeout, set in the URL
        return QueryError(f"the driver stopped the query: {problem}")
    if _is_unreachable(error, code) or (place is not None and not is_connected and not code):
        server = "" if place is None else f" at {place}"
        return ConnectionError(f"no connection to the database{server}: {problem}")
    return _refused_query(error, code, problem)


def _refused_query(error: Exception, code: str, problem: str) -> Exception:
    setting = _WRONG_NAMES.get(code) or _wrong_name(problem)
    if setting:
        return ConfigurationError(setting, problem)
    return (KeysRefusedError if _is_about_keys(error, code) else QueryError)(problem)


def _wrong_name(problem: str) -> str | None:
    # SQLite has one code for all errors in SQL, so the text must tell.
    return next((name for name in ("table", "column") if problem.startswith(f"no such {name}")), None)


def _is_about_keys(error: Exception, code: str) -> bool:
    # Without a code the driver itself did not know how to send a key.
    by_driver = (OverflowError, DataError, InterfaceError, NotSupportedError, ProgrammingError)
    is_of_driver = not code and not is_outdated(error) and isinstance(error, by_driver)
    return is_of_driver or code.startswith(_WRONG_KINDS)


def _is_unreachable(error: Exception, code: str) -> bool:
    return isinstance(error, (OSError, PoolTimeoutError)) or code.startswith(_UNREACHABLE)


def _line(error: object) -> str:
    text = " ".join(str(error).split()).partition(" (Background on this error")[0]
    return text[:_LONGEST] or type(error).__name__
