"""The compared peers. A new peer is one class in ``adapters``, and its name here."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.peers.peer import Peer

ADAPTERS: Final = (
    "ours:Fifo",
    "ours:FifoTtl",
    "ours:FifoHistory",
    "ours:Lru",
    "ours:Sieve",
    "ours:S3Fifo",
    "ours_decorated:Decorated",
    "ours_measured:Measured",
    "aio_cache:Cached",
    "aio_cache:CachedStampede",
    "aio_dataloader:Loader",
    "acache_tools:CachedLru",
    "async_cache:Lru",
    "async_cache:Batching",
    "asynclru:Alru",
    "cache_box:CachedFifo",
    "cache_box:CachedLru",
    "cache_box:CachedTtl",
    "cache_box:CachedLruTuned",
    "cashews_memory:Simple",
    "cashews_memory:Locked",
    "one_flight:Single",
    "theine_memoize:Memoized",
)


@dataclass(frozen=True)
class Missing:
    """A peer that cannot take part, with the reason."""

    adapter: str
    reason: str


def import_peer(adapter: str) -> type[Peer]:
    """Return the class named ``module:Class`` of the folder ``adapters``."""
    module, _, name = adapter.partition(":")
    found: type[Peer] = getattr(import_module(f"benchmarks.peers.adapters.{module}"), name)
    return found


def find_peers(adapters: Iterable[str] = ADAPTERS) -> tuple[list[type[Peer]], list[Missing]]:
    """Return the peers that can take part, and the missing ones."""
    peers: list[type[Peer]] = []
    missing: list[Missing] = []
    for adapter in adapters:
        try:
            peers.append(import_peer(adapter))
        except Exception as error:  # noqa: BLE001 - what a package does on import must not end the run
            missing.append(Missing(adapter, f"not installed: {error}"))
    return peers, missing


def versions(peers: Iterable[type[Peer]]) -> dict[str, str]:
    """Return the version of each distribution that takes part."""
    return {package: version(package) for package in sorted({peer.package for peer in peers})}
