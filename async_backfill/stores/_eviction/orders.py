"""The names of the eviction orders, and how to make each of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, cast, get_args

from async_backfill.contracts import EvictionOrder, K, ResumableOrder
from async_backfill.errors import ConfigurationError
from async_backfill.stores._eviction.fifo import FifoOrder
from async_backfill.stores._eviction.lru import LruOrder
from async_backfill.stores._eviction.s3_fifo import S3FifoOrder
from async_backfill.stores._eviction.sieve import SieveOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Eviction: TypeAlias = Literal["fifo", "lru", "sieve", "s3-fifo"]
"""The name of an eviction order: `FifoOrder`, `LruOrder`, `SieveOrder`, `S3FifoOrder`."""

EVICTIONS: Final[tuple[Eviction, ...]] = get_args(Eviction)


class Order(EvictionOrder[K], ResumableOrder[K], Protocol[K]):
    """What each of them is."""


_ORDERS: Final[Mapping[str, Callable[[int | None], Order[Any]]]] = MappingProxyType(
    {
        "fifo": lambda _: FifoOrder(),
        "lru": lambda _: LruOrder(),
        "sieve": lambda _: SieveOrder(),
        "s3-fifo": S3FifoOrder,
    }
)


def make_order(eviction: Eviction, capacity: int | None) -> Order[K]:
    """Return a new eviction order by its name, for a store of ``capacity`` keys.

    :raises ConfigurationError: when there is no order of that name.
    """
    if eviction not in EVICTIONS:
        names = ", ".join(map(repr, EVICTIONS))
        raise ConfigurationError("eviction", f"{eviction!r} is not one of {names}")
    return cast("Order[K]", _ORDERS[eviction](capacity))
