"""The settings of a copy, checked."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from async_backfill._common.validation import (
    positive_seconds,
    positive_seconds_or_none,
    real,
    whole,
)

if TYPE_CHECKING:
    from async_backfill.contracts import Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a copy is made; see `async_backfill.warming.copy_rows`."""

    ttl: float | None
    ttl_jitter: float
    writers: int
    ahead: int
    write_timeout: float
    read_timeout: float | None
    attempts: int
    max_dead: int
    max_lost: float
    draw: random.Random = field(default_factory=random.Random)

    def drawn_ttl(self) -> float | None:
        """Return the ttl of one page."""
        if self.ttl is None or not self.ttl_jitter:
            return self.ttl
        return self.ttl * (1.0 - self.ttl_jitter * self.draw.random())


def checked(  # noqa: PLR0913 - the settings users name are flat
    *,
    ttl: Seconds | None,
    ttl_jitter: float,
    writers: int,
    ahead: int,
    write_timeout: Seconds,
    read_timeout: Seconds | None,
    attempts: int,
    max_dead: int,
    max_lost: float,
) -> Settings:
    """Return the settings, or raise `ConfigurationError`."""
    return Settings(
        ttl=positive_seconds_or_none("ttl", ttl),
        # Below 1, or a page could have no time to live at all.
        ttl_jitter=real("ttl_jitter", ttl_jitter, least=0.0, most=0.9),
        writers=whole("writers", writers, least=1),
        ahead=whole("ahead", ahead, least=1),
        write_timeout=positive_seconds("write_timeout", write_timeout),
        read_timeout=positive_seconds_or_none("read_timeout", read_timeout),
        attempts=whole("attempts", attempts, least=1),
        max_dead=whole("max_dead", max_dead, least=0),
        max_lost=real("max_lost", max_lost, least=0.0, most=1.0),
    )
