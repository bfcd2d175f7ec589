"""Orders to running caches, and the channel that brings them to a whole fleet of processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

ControlVerb: TypeAlias = Literal[
    "pause", "resume", "cancel", "approve", "revoke", "off", "on", "invalidate", "retune"
]
"""What a person may order a running cache to do; see `async_backfill.control.Control`."""

_DECIDES: Final[Mapping[str, str]] = MappingProxyType(
    {"pause": "backfills", "resume": "backfills", "off": "cache", "on": "cache"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlOrder:
    """What a person ordered: ``verb``, ``by`` whom, why (``reason``), and when.

    ``time``
        seconds since the epoch.
    ``details``
        what the verb needs besides, in plain JSON types: ``permits``, ``threshold``, ``batch``, ``rate``.
    ``key``
        the key to invalidate; else ``None``.
    ``version``
        rises with each order of a fleet, whoever gave it; 0 for one that no channel has taken, or
        that it has lost.
    ``id``
        tells it from all others; empty where there is no channel.
    """

    verb: ControlVerb
    by: str
    reason: str
    time: float
    details: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    key: Any = None
    version: int = 0
    id: str = ""

    @property
    def decides(self) -> tuple[str, ...]:
        """What it decides until another order does: ``"backfills"``, ``"cache"``, settings, or nothing."""
        if self.verb == "retune":
            return tuple(self.details)
        whole = _DECIDES.get(self.verb)
        return () if whole is None else (whole,)


class ControlChannel(Protocol):
    """Brings orders to all caches of a fleet, in one order for all of them.

    The latest order that *decides* something stands: a process that starts later obeys it.
    """

    async def send(self, order: ControlOrder, /) -> int:
        """Keep ``order`` and tell the other caches; return its version, which rises with each order."""
        ...

    async def standing(self) -> tuple[int, Sequence[ControlOrder]]:
        """Return the version of the latest order, and the orders that stand, in the order of versions."""
        ...

    async def since(self, version: int, /) -> Sequence[ControlOrder]:
        """Return the orders after ``version``, oldest first: a hundred at the most, the latest ones."""
        ...

    async def listen(self, heard: Callable[[], None], /) -> None:
        """Call ``heard`` when there may be orders that are new, until cancelled.

        A network failure raises nothing: it connects again, and calls ``heard`` then.
        """
        ...
