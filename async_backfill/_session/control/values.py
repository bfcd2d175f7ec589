"""What an operator is told of a running cache, and of a key: frozen values."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, Literal

from async_backfill.contracts import K

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import ControlOrder, ControlVerb


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningBackfill:
    """The backfill that runs.

    ``number``, ``cause``
        its number in the audit log, and what started it.
    ``keys``, ``loaded``
        how many keys it asks for, and how many have come.
    ``since``
        when it began, in seconds since the epoch.
    """

    number: int
    cause: str
    keys: int
    loaded: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlStatus:
    """What people have ordered a running cache, and what it does.

    ``is_off``
        whether reads go through to the source, and nothing is kept.
    ``is_paused``
        whether no backfill starts by itself.
    ``threshold``
        the share of misses that starts a backfill; ``None`` with a trigger of one's own.
    ``batch``
        keys of one backfill at the most; ``None`` for what the cache finds right.
    ``rate``
        keys a second that backfills may ask for; ``None`` for no limit.
    ``permits_left``, ``needs_approval``
        automatic backfills that may still start, ``None`` without a limit, and whether a person must approve
        more.
    ``running``
        the backfill that runs, the oldest if there are several; ``None`` when none does.
    ``is_shared``
        whether orders reach a fleet of processes.
    ``channel_error``, ``channel_failures``
        why the channel of the fleet could not be reached the last time, in one line, ``None`` when it could;
        and how often it could not.
    ``orders``
        the latest order of each verb, with who gave it, why and when.
    """

    is_off: bool = False
    is_paused: bool = False
    threshold: float | None = None
    batch: int | None = None
    rate: float | None = None
    permits_left: int | None = None
    needs_approval: bool = False
    running: RunningBackfill | None = None
    is_shared: bool = False
    channel_error: str | None = None
    channel_failures: int = 0
    orders: Mapping[ControlVerb, ControlOrder] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation(Generic[K]):
    """What is known of a key; ``None`` stands for what is not.

    ``where``
        ``"memory"``, ``"far tier"``, ``"memory and far tier"`` or ``"nowhere"``.
    ``is_fresh``
        whether its value may be served, by the memory if it is there; ``None`` where it is nowhere.
    ``is_absent``
        whether it is known that the source does not have it.
    ``is_loading``
        whether it is being loaded right now.
    ``age``
        seconds since the source delivered the value.
    ``expires_in``
        seconds until it is no longer fresh, negative once it is stale; ``None`` also when it never expires.
    ``loaded_by``
        how it came into the memory: ``"miss"``, ``"refresh"``, ``"backfill"``, ``"put"``, ``"far tier"`` or
        ``"snapshot"``; without observers only that nobody has read it since a backfill brought it is known.
    ``left_because``, ``left_ago``
        why it left the memory, one of `async_backfill.MissCause`, and how many seconds ago.
    ``heat``
        how hot it is, where one lookup right now is 1.0; ``None`` without history.
    ``far_age``
        seconds since the source delivered the copy in the far tier.
    ``far_failed``
        why the far tier did not answer, in one line; ``None`` when it did, or there is none.
    """

    key: K
    where: Literal["memory", "far tier", "memory and far tier", "nowhere"]
    is_fresh: bool | None = None
    is_absent: bool = False
    is_loading: bool = False
    age: float | None = None
    expires_in: float | None = None
    loaded_by: str | None = None
    left_because: str | None = None
    left_ago: float | None = None
    heat: float | None = None
    far_age: float | None = None
    far_failed: str | None = None
