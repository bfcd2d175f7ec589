"""The backends in real time: worker threads take time that a clock which jumps would not wait for."""

from __future__ import annotations

import asyncio
import sys

import pytest

REAL_BACKENDS = [("asyncio", {"loop_factory": asyncio.SelectorEventLoop}), ("trio", {})]
if sys.platform != "win32":
    import uvloop

    REAL_BACKENDS.append(("asyncio", {"loop_factory": uvloop.new_event_loop}))


@pytest.fixture(params=REAL_BACKENDS, ids=["asyncio", "trio", "asyncio+uvloop"][: len(REAL_BACKENDS)])
def anyio_backend(request):
    """Run each test marked ``anyio`` on each backend, in real time."""
    return request.param
