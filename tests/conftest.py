"""Each backend, in virtual time, so that an hour of the cache's time takes no time; and the two servers.

``TEST_POSTGRES_URL`` and ``TEST_REDIS_URL`` name servers that are there: a PostgreSQL with a role that may
create tables and end connections, and a Redis or Valkey. Else each is started from a wheel, once for the
session. Where there is none its tests are skipped, or fail when ``ASYNC_BACKFILL_REQUIRE_SERVERS=1`` is set.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import contextmanager
from typing import Any

import hypothesis
import looptime
import pytest
import trio.testing

from tests.servers.postgres import start_postgres
from tests.servers.valkey import start_valkey
from tests.servers.wheels import NoServerError

BACKENDS = ["asyncio", "trio"]
if sys.platform != "win32":
    from tests.virtual_uvloop import VirtualUvloop

    BACKENDS.append("asyncio+uvloop")

# A deadline is a wall clock, and the machine may be busy.
hypothesis.settings.register_profile("no wall clock", deadline=None, print_blob=True)
hypothesis.settings.load_profile("no wall clock")


def pytest_sessionstart() -> None:
    """Say that there is no event loop yet: asked for the current one, asyncio makes one nobody closes."""
    asyncio.set_event_loop(None)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from looking at all modules and tests again and again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def what_others_left() -> None:
    """Take what is there out of what is collected: tests about memory would go through it again and again."""
    gc.collect()
    gc.freeze()


def _asyncio_loop() -> Any:
    # No idle turns before a jump, as on trio: they are there for what comes from outside, and nothing does.
    return looptime.new_event_loop(start=0.0, end=None, noop_cycles=0)


@pytest.fixture(params=BACKENDS)
def anyio_backend(request) -> tuple[str, dict[str, Any]]:
    """Run each test marked ``anyio`` on each backend, with a clock that jumps when all wait."""
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": _asyncio_loop}
    if request.param == "asyncio+uvloop":
        return "asyncio", {"loop_factory": VirtualUvloop}
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0.0)}


@pytest.fixture(scope="session")
def postgres_url():
    """The URL of a PostgreSQL database to which the tests may do anything."""
    if url := os.environ.get("TEST_POSTGRES_URL"):
        yield url
        return
    with start_postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory):
    """The URL of a Valkey, or a Redis, for the whole session."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    with start_valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@contextmanager
def _server_needed():
    try:
        yield
    except NoServerError as error:
        if os.environ.get("ASYNC_BACKFILL_REQUIRE_SERVERS") == "1":
            pytest.fail(f"ASYNC_BACKFILL_REQUIRE_SERVERS=1, and {error}")
        pytest.skip(f"NO SERVER: {error}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Any:
    """Skip, or fail, a test whose server cannot be had."""
    with _server_needed():
        return (yield)


pytest_runtest_call = pytest_runtest_setup
