"""Each backend, in virtual time: a test that waits an hour of the cache's time takes no time."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import hypothesis
import looptime
import pytest
import trio.testing

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


def _asyncio_loop() -> Any:
    return looptime.new_event_loop(start=0.0, end=None)


@pytest.fixture(params=BACKENDS)
def anyio_backend(request) -> tuple[str, dict[str, Any]]:
    """Run each test marked ``anyio`` on each backend, with a clock that jumps when all wait."""
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": _asyncio_loop}
    if request.param == "asyncio+uvloop":
        return "asyncio", {"loop_factory": VirtualUvloop}
    return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0.0)}
