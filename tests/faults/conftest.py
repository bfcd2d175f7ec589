"""Real servers that are killed, stopped and cut off, in real time."""

from __future__ import annotations

import uuid

import pytest

pytest.importorskip("redis", reason="needs the extra redis")

from tests.servers.valkey import start_valkey


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def namespace():
    """A namespace that nothing else uses, as the server may be somebody's."""
    return f"faults-{uuid.uuid4().hex}"


@pytest.fixture
def valkey(tmp_path):
    """A server of the test's own, to be killed."""
    with start_valkey(tmp_path) as server:
        yield server
