"""A cluster of Valkey servers from the wheel, without replicas."""

from __future__ import annotations

import asyncio

from async_backfill.redis._cluster import SLOTS
from async_backfill.redis.connection import connect
from tests.servers.ports import free_port
from tests.servers.valkey import start_valkey

UNEQUAL = ("--cluster-require-full-coverage", "no")


def start_cluster(folder, count=2):
    """Return servers that are started, each with as many of the slots."""
    servers, buses = [], []
    for name in range(count):
        buses.append(free_port())
        servers.append(
            start_valkey(
                folder / str(name), "--cluster-enabled", "yes", "--cluster-port", str(buses[-1]), *UNEQUAL
            )
        )
    asyncio.run(introduce(servers, buses))
    return servers


async def introduce(servers, buses):
    for number, server in enumerate(servers):
        async with connect(server.url) as redis:
            await redis.execute("CLUSTER", "ADDSLOTSRANGE", *slots_of(number, len(servers)))
            await redis.execute("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            await redis.execute("CLUSTER", "MEET", "127.0.0.1", servers[0].port, buses[0])
    for server in servers:
        async with connect(server.url) as redis:
            for _ in range(1_000):
                slots, state = await redis.pipeline([("CLUSTER", "SLOTS"), ("CLUSTER", "INFO")])
                if len(slots) == len(servers) and b"cluster_state:ok" in state:
                    break
                await asyncio.sleep(0.01)
            else:
                raise AssertionError(state)


def slots_of(number, count):
    """Return the first and the last slot of a server."""
    return SLOTS * number // count, SLOTS * (number + 1) // count - 1
