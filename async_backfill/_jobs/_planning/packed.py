"""What rows take in a store, without writing them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

from async_backfill._jobs._packing import pack
from async_backfill.contracts import K, Sealing, V
from async_backfill.errors import KeyRefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from async_backfill.contracts import FarStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed(Generic[K]):
    """The bytes of some packed rows, keys included, and the keys of those that the store cannot keep."""

    rows: int
    bytes: int
    refused: Collection[K]


def packed(store: FarStore[K, V], rows: Mapping[K, V]) -> Packed[K]:
    """Return what ``rows`` would take in ``store``; no bytes where it does not pack them."""
    if Sealing not in type(store).__mro__ or not rows:
        return Packed(rows=len(rows), bytes=0, refused=())
    sealed: Mapping[K, bytes] = store.seal(rows)  # type: ignore[attr-defined] # declared
    size = sum(len(value) + _length(key) for key, value in sealed.items())
    refused = [key for key in rows if key not in sealed] if len(sealed) < len(rows) else []
    return Packed(rows=len(sealed), bytes=size, refused=refused)


def _length(key: object) -> int:
    try:
        return len(pack(key))
    except KeyRefusedError:
        return 0
