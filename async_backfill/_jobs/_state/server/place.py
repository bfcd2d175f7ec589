"""Where a state in PostgreSQL is, taken from its URL; needs SQLAlchemy, which knows the grammar of URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from async_backfill.errors import ConfigurationError

SCHEMA: Final = "async_backfill"
_DRIVERS: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_LIKE: Final = "such as postgresql://user@host/database?schema=async_backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePlace:
    """A schema of a database.

    ``dsn``
        what asyncpg takes; it may hold a password.
    ``shown``
        what errors begin with.
    """

    dsn: str = field(repr=False)
    schema: str
    shown: str


def place_of(url: str) -> StatePlace:
    """Return the place that ``url`` names; its setting ``schema`` is ours, all others are asyncpg's.

    :raises ConfigurationError: when it cannot be used; the text shows nothing of it.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("state", f"must be a file, or the URL of a database, {_LIKE}") from None
    if parsed.drivername not in _DRIVERS:
        raise ConfigurationError("state", f"{parsed.drivername} cannot be used: asyncpg is, {_LIKE}")
    if "@" in (parsed.host or ""):  # the end of a password
        raise ConfigurationError("state", "has two @: write the one in the password as %40")
    settings = dict(parsed.query)
    schema = settings.pop("schema", SCHEMA)
    if not isinstance(schema, str) or _NAME.fullmatch(schema) is None:
        raise ConfigurationError("state", "schema must be a name of small letters, digits and _")
    if "ssl" in settings:  # as SQLAlchemy has it
        settings["sslmode"] = settings.pop("ssl")
    dsn = parsed.set(drivername="postgresql", query=settings).render_as_string(hide_password=False)
    server = parsed.host or "its socket"
    if parsed.port is not None:
        server = f"{server}:{parsed.port}"
    return StatePlace(dsn=dsn, schema=schema, shown=f"{server}/{parsed.database or ''} (schema {schema})")
