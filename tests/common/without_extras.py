"""Prints, as JSON, what each public module that needs an extra says when no extra is installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys

from async_backfill import MissingExtraError

LIBRARIES = (
    "aiohttp",
    "backports",
    "compression",
    "hiredis",
    "opentelemetry",
    "prometheus_client",
    "pyarrow",
    "redis",
    "sqlalchemy",
    "stamina",
    "starlette",
)
MODULES = {
    "async_backfill.admin": "admin",
    "async_backfill.frameworks.aiohttp": "http",
    "async_backfill.frameworks.sqlalchemy": "sql",
    "async_backfill.frameworks.starlette": "starlette",
    "async_backfill.otel": "otel",
    "async_backfill.prometheus": "prometheus",
    "async_backfill.redis": "redis",
    "async_backfill.redis.connection": "redis",
    "async_backfill.redis.store": "redis",
    "async_backfill.sources.http": "http",
    "async_backfill.sources.parquet": "parquet",
    "async_backfill.sources.retrying": "retry",
    "async_backfill.sources.sql": "sql",
}


def said(module: str) -> str:
    """Return what an import of ``module`` says."""
    try:
        importlib.import_module(module)
    except MissingExtraError as error:
        return str(error)
    return ""


if __name__ == "__main__":
    for library in LIBRARIES:
        if importlib.util.find_spec(library):
            sys.modules[library] = None
    print(json.dumps({module: said(module) for module in MODULES}))
