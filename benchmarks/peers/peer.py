"""The interface between a workload and a cache to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Sized
    from types import TracebackType

    from benchmarks.peers.sources import Source


class Peer:
    """A cache in front of ``source``, used inside ``async with``.

    An adapter is a class like this whose ``__init__`` or ``__aenter__`` sets ``get`` to the very thing
    that users of the package await, without a layer of its own where the package allows it. Its
    docstring says how the package is configured, and why. Each workload makes as many as it needs.

    ``title``
        the name of the row.
    ``package``
        the distribution, for its version.
    ``is_ours``
        whether it is this project's.
    ``holds``
        whether it keeps values at all.
    ``is_bounded``
        whether it holds ``capacity`` values at the most. If not, there is nothing to evict, and the
        workloads that evict leave it out.
    ``has_get_many``, ``has_peek``, ``has_put_many``
        whether it has those as well, set like ``get``.
    """

    title: ClassVar[str]
    package: ClassVar[str]
    is_ours: ClassVar[bool] = False
    holds: ClassVar[bool] = True
    is_bounded: ClassVar[bool] = True
    has_get_many: ClassVar[bool] = False
    has_peek: ClassVar[bool] = False
    has_put_many: ClassVar[bool] = False

    get: Callable[[int], Awaitable[int]]
    get_many: Callable[[Sequence[int]], Awaitable[Sized]]
    peek: Callable[[int], int | None]
    put_many: Callable[[Mapping[int, int]], Awaitable[None]]

    def __init__(self, source: Source, capacity: int) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def fill(self, keys: Iterable[int]) -> None:
        """Fill the cache with the values of ``keys``, as far as they fit."""
        get = self.get
        for key in keys:
            await get(key)
