"""The guard of a far store: a page of copies never replaces what is newer than its read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol

from async_backfill.contracts._types import K, K_co, V_contra

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept(Generic[K_co]):
    """What a store did with a page: each key is counted, or named, exactly once.

    ``kept``
        how many items it stored.
    ``newer``
        keys left alone because the store has a later value, or a later removal, than the page's read.
    ``leased``
        keys left alone because a process has leased them, and will write them.
    ``rejected``
        keys that the store cannot keep, each with why in a few words.
    """

    kept: int
    newer: Sequence[K_co] = ()
    leased: Sequence[K_co] = ()
    rejected: Mapping[K_co, str] = field(default_factory=dict)


class GuardedStore(Protocol[K, V_contra]):
    """The ability of some far stores to take a page of rows that was read some time ago.

    A value, a removal or a lease that is later than the begin of the page's read wins over the page, whoever
    made it; so does the end of a lease without a value. A store that inherits from this class also counts the
    age of a copy from the begin of its read, and is given the values that a cache loads by `set_page`, too.

    Where clocks of several machines are compared, what is not clearly older than the read counts as later,
    unless this object has met it in ``get_many`` before the read began.
    """

    @property
    def deadline(self) -> float:
        """The seconds after the begin of its read for which a page is taken; then it must be read again."""
        ...

    def now(self) -> float:
        """Return the time of the store's clock; taken before a read begins, it is the page's ``read_at``."""
        ...

    async def set_page(
        self, items: Mapping[K, V_contra], /, *, read_at: float, ttl: float | None = None
    ) -> Kept[K]:
        """Keep those ``items``, at least one, that nothing later contradicts, until ``read_at + ttl``.

        :param items: rows, or what `Sealing.seal` made of them.
        :param read_at: the time of `now` before the read of the page began.
        :param ttl: seconds above 0.0; ``None`` for as long as there is room.
        :raises StalePageError: when the read began more than `deadline` seconds ago; nothing was kept.
        """
        ...


class VersionedStore(GuardedStore[K, V_contra], Protocol):
    """The ability of some guarded stores to tell by a version in each value which of two is later.

    Where both values have one, `set_page` replaces what has a lower or the same version, whenever it was
    read and written, and leaves what has a higher one. Removals, clears and leases have none: they win over
    a page as they do in every `GuardedStore`.
    """

    @property
    def version_of(self) -> Callable[[V_contra], int] | None:
        """What returns the version of a value, 0 to 2**64 - 1; ``None`` if this store compares times."""
        ...
