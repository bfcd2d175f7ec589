"""The states of jobs keep the promises of `JobState`."""

from __future__ import annotations

import pytest

pytest.importorskip("asyncpg", reason="needs the extra sql")

from async_backfill.jobs import PostgresJobState, SQLiteJobState
from async_backfill.testing import JobStateContract
from tests.jobs.state_rows import schema_at

pytestmark = pytest.mark.anyio


class TestAFile(JobStateContract):
    @pytest.fixture(params=["asyncio", "trio"])
    def anyio_backend(self, request):
        """In real time, because a thread takes some."""
        return request.param

    @pytest.fixture
    async def state(self, tmp_path):
        async with SQLiteJobState(tmp_path / "jobs.sqlite") as state:
            yield state

    @pytest.fixture
    async def others(self, state, tmp_path):  # noqa: ARG002 - made by it
        async with SQLiteJobState(tmp_path / "jobs.sqlite", create=False) as others:
            yield others


class TestASchema(JobStateContract):
    @pytest.fixture(params=[("asyncio", {}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
    def anyio_backend(self, request):
        """In real time: a server takes some."""
        return request.param

    @pytest.fixture
    def url(self, postgres_url):
        with schema_at(postgres_url) as url:
            yield url

    @pytest.fixture
    async def state(self, url):
        async with PostgresJobState(url) as state:
            yield state

    @pytest.fixture
    async def others(self, state, url):  # noqa: ARG002 - made by it
        async with PostgresJobState(url, create=False) as others:
            yield others
