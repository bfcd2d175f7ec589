"""Lets the hit path look up any store as if it were a dict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from async_backfill.contracts import K, V, V_co
from async_backfill.outcomes import ABSENT, Absent

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

K_contra = TypeVar("K_contra", bound="Hashable", contravariant=True)


class Entries(Protocol[K_contra, V_co]):
    """The mapping that a hit looks its value up in: usually the dict of the store itself."""

    def __getitem__(self, key: K_contra, /) -> V_co:
        """Return the value of ``key``; `KeyError` when it has none."""
        ...


class Reading(Generic[K, V]):
    """The entries of a store that is not a dict: each lookup calls ``read``.

    The usual store hands out its dict instead, because a call shows in a hit: decision 30 in notes.md.
    """

    __slots__ = ("_read",)

    def __init__(self, read: Callable[[K, Absent], V | Absent]) -> None:
        self._read = read

    def __getitem__(self, key: K) -> V:
        value = self._read(key, ABSENT)
        if value is ABSENT:
            raise KeyError(key)
        return value
