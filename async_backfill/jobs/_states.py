"""The state that a name means: a file, or a schema of PostgreSQL."""

from __future__ import annotations

import os

from async_backfill._jobs._state.naming import is_of_server
from async_backfill._jobs._state.postgres import PostgresJobState
from async_backfill._jobs._state.sqlite import SQLiteJobState
from async_backfill._runner.scenario.environment import with_variables


def state_at(name: str | os.PathLike[str], *, create: bool) -> SQLiteJobState | PostgresJobState:
    """Return the state that ``name`` means, not yet open; in a URL, ``${NAME}`` is an environment variable.

    :raises ConfigurationError: when the URL cannot be used, or a variable is not set; shows no password.
    :raises MissingExtraError: when a library that it needs is not installed.
    """
    text = os.fspath(name)
    if not is_of_server(text):
        return SQLiteJobState(text, create=create)
    return PostgresJobState(with_variables(text, os.environ, setting="state"), create=create)
