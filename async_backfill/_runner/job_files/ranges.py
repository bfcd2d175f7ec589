"""Check what the types of a job file do not: the ranges of its settings, and what goes with its ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._jobs._ranges import check_spec
from async_backfill._runner.scenario.environment import check_url
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from async_backfill._jobs._spec import JobSpec


def check_ranges(spec: JobSpec) -> None:
    """Raise `ConfigurationError` for the first setting that is out of range; it is named with its path."""
    check_spec(spec)
    limits = spec.throttle
    if limits.load_query is not None and spec.source.get("kind") != "sql":
        raise ConfigurationError("throttle.load_query", "needs a source with a database to ask")
    if limits.load_url is not None:
        try:
            check_url(limits.load_url)
        except ConfigurationError as error:
            raise ConfigurationError("throttle.load_url", error.problem) from error
    _check_version(spec)


def _check_version(spec: JobSpec) -> None:
    column, values = spec.store.get("version"), spec.source.get("value")
    if spec.guard == "version" and column is None:
        raise ConfigurationError("store.version", 'is missing: with guard = "version" it names a column')
    if column is None:
        return
    if isinstance(values, str) or (values is None and spec.source.get("kind") == "sql"):
        raise ConfigurationError("store.version", "needs a source whose value has several columns")
    if values is not None and column not in values:
        raise ConfigurationError("store.version", f"{column!r:.50} is not one of the columns of source.value")
