"""Spans are collected by an SDK: where OpenTelemetry is not installed there are no such tests."""

from __future__ import annotations

from importlib.util import find_spec

if any(find_spec(name) is None for name in ("opentelemetry", "asyncpg", "aiohttp", "sqlalchemy")):
    collect_ignore_glob = ["test_*.py"]
