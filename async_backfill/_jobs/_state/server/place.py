"""Where a state in PostgreSQL is, taken from its URL; needs SQLAlchemy, which knows the grammar of URLs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from async_backfill._common.server_hosts import with_hosts_as_settings
from async_backfill.errors import ConfigurationError

SCHEMA: Final = "async_backfill"
_DRIVERS: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_TARGET: Final = "target_session_attrs"
_WRITABLE: Final = ("read-write", "primary")
_LIKE: Final = "such as postgresql://user@host/database?schema=async_backfill"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePlace:
    """A schema of a database.

    ``dsn``
        what asyncpg takes; it may hold a password.
    ``hosts``
        the hosts and ports of several servers; the ``dsn`` has none of them.
    ``target``
        which of these may be connected to.
    ``shown``
        what errors begin with.
    """

    dsn: str = field(repr=False)
    hosts: tuple[tuple[str, int], ...]
    target: str
    schema: str
    shown: str


def place_of(url: str) -> StatePlace:
    """Return the place that ``url`` names; its setting ``schema`` is ours, all others are asyncpg's.

    :raises ConfigurationError: when it cannot be used; the text shows nothing of it.
    """
    try:
        parsed = make_url(with_hosts_as_settings(url))
        is_ours = parsed.drivername in _DRIVERS
        driver = parsed.set(drivername="postgresql+asyncpg").get_dialect()()
        server = driver.create_connect_args(parsed)[1] if is_ours else {}
    except (ArgumentError, ValueError):
        raise ConfigurationError("state", f"must be a file, or the URL of a database, {_LIKE}") from None
    if not is_ours:
        raise ConfigurationError("state", f"{parsed.drivername} cannot be used: asyncpg is, {_LIKE}")
    if "@" in (parsed.host or ""):  # the end of a password
        raise ConfigurationError("state", "has two @: write the one in the password as %40")
    settings = dict(parsed.query)
    schema = settings.pop("schema", SCHEMA)
    if not isinstance(schema, str) or _NAME.fullmatch(schema) is None:
        raise ConfigurationError("state", "schema must be a name of small letters, digits and _")
    if "ssl" in settings:  # as SQLAlchemy has it
        settings["sslmode"] = settings.pop("ssl")
    target = settings.pop(_TARGET, _WRITABLE[0])
    if target not in _WRITABLE:
        raise ConfigurationError("state", f"{_TARGET} must be {' or '.join(_WRITABLE)}: a state is written")
    host: Any = server.get("host", "its socket")
    port: Any = server.get("port")
    hosts: tuple[tuple[str, int], ...] = ()
    if isinstance(host, list):
        hosts = tuple(zip(host, port, strict=True))
        for name in ("host", "port"):
            settings.pop(name, None)
    shown = ", ".join(f"{host}:{port}" for host, port in hosts or [(host, port)]).removesuffix(":None")
    return StatePlace(
        dsn=parsed.set(drivername="postgresql", query=settings).render_as_string(hide_password=False),
        hosts=hosts,
        target=str(target),
        schema=schema,
        shown=f"{shown}/{parsed.database or ''} (schema {schema})",
    )
