"""A real server, on the two event loops of asyncio, in real time."""

from __future__ import annotations

import asyncio
import sys
import uuid

import pytest

from tests.servers.valkey import start_valkey
from tests.servers.valkey_cluster import start_cluster

LOOPS = [("asyncio", {"loop_factory": asyncio.SelectorEventLoop})]
if sys.platform != "win32":
    import uvloop

    LOOPS.append(("asyncio", {"loop_factory": uvloop.new_event_loop}))


@pytest.fixture(params=LOOPS, ids=["asyncio", "asyncio+uvloop"][: len(LOOPS)])
def anyio_backend(request):
    return request.param


@pytest.fixture
def namespace():
    """A namespace that nothing else uses, as the server may be somebody's."""
    return f"test-{uuid.uuid4().hex}"


@pytest.fixture(params=["url", "client"])
def reached(request):
    """What connects to a cluster: by the URL of a server, or with a client of redis-py that begins there."""
    redis = pytest.importorskip("async_backfill.redis", reason="needs the extra redis")
    if request.param == "url":
        return redis.connect
    cluster = pytest.importorskip("redis.asyncio.cluster")
    settings = {
        "decode_responses": True,
        "load_balancing_strategy": cluster.LoadBalancingStrategy.ROUND_ROBIN,
    }
    return lambda url: redis.from_client(cluster.RedisCluster.from_url(url, **settings))


@pytest.fixture
def valkey(tmp_path):
    """Start servers of the test's own, with arguments; they are stopped at its end."""
    started = []

    def start(*arguments):
        started.append(start_valkey(tmp_path / str(len(started)), *arguments))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two servers for all tests of a file, each with half of the slots or so."""
    servers = start_cluster(tmp_path_factory.mktemp("cluster"))
    yield servers
    for server in servers:
        server.stop()
