"""An eviction order without hits and ghosts, as far as another process takes it up again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Iterable


class PlainOrder(Generic[K]):
    """Its keys are all there is to take up."""

    __slots__ = ()

    def hits(self, key: K, /) -> int:  # noqa: ARG002 - they do not matter, or are in the order
        """Return 0."""
        return 0

    def remembers(self, key: K, /) -> bool:  # noqa: ARG002 - none is remembered
        """Return ``False``."""
        return False

    def remember(self, keys: Iterable[K], /) -> None:
        """Remember none."""
