"""asyncio in real time, with its own event loop and uvloop: for what needs asyncio and real servers."""

from __future__ import annotations

import asyncio
import sys

import pytest

LOOPS = {"asyncio": asyncio.SelectorEventLoop}
if sys.platform != "win32":
    import uvloop

    LOOPS["asyncio+uvloop"] = uvloop.new_event_loop


@pytest.fixture(params=[*LOOPS])
def anyio_backend(request):
    """Run each test marked ``anyio`` on each event loop of asyncio, in real time."""
    return "asyncio", {"loop_factory": LOOPS[request.param]}
