"""Readiness: whether a cache is warm enough to take traffic, as a frozen value, and its settings."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from async_backfill._common.validation import convert, flag, positive_seconds_or_none, real

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds

__all__ = ["Readiness", "ReadinessPolicy", "ReadinessState"]


class ReadinessState(enum.StrEnum):
    """How far the warming of a cache has come; in each state but ``WARMING`` it may take traffic."""

    WARMING = "warming"
    """Too few of the hot keys have been cached so far, and the others are being loaded."""

    READY = "ready"
    """Enough of the hot keys have been cached, or none were known to be hot."""

    GAVE_UP = "gave_up"
    """Too few of the hot keys have been cached, and it would not help to wait any longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """The readiness of a cache at one moment.

    ``state``
        warming, ready, or given up. It never goes back to warming until the cache is emptied or opened anew.
    ``reason``
        why it is in this state: a sentence for people, whose text may change.
    ``coverage``
        the largest share of the hot keys that was cached so far, 0.0 to 1.0. Keys that the source does
        not have do not count.
    """

    state: ReadinessState
    reason: str
    coverage: float

    @property
    def may_take_traffic(self) -> bool:
        """Whether a load balancer should send requests here: it is ready, or gave up."""
        return self.state is not ReadinessState.WARMING


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadinessPolicy:
    """When a cache with ``selection="history"`` counts as warm, and who begins to warm it.

    ``coverage``
        share of the hot keys that must have been cached, 0.0 to 1.0.
    ``within``
        seconds after which it gives up, counted from when warming began; ``None`` for never.
    ``warm_on_open``
        ``True`` begins when the cache is opened, and again when it is emptied; by default the first
        question about readiness begins.
    """

    coverage: float = 0.9
    within: float | None = 60.0
    warm_on_open: bool = False

    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            coverage: float = ...,
            within: Seconds | None = ...,
            warm_on_open: bool = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        real("coverage", self.coverage, least=0.0, most=1.0)
        convert(self, within=positive_seconds_or_none)
        flag("warm_on_open", self.warm_on_open)
