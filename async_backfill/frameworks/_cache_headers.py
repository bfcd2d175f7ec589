"""Cache-Control and Age from what a cache knows: RFC 9111, sections 4.2, 5.1 and 5.2.2, and RFC 5861."""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from async_backfill.stats import EntryFreshness

NOT_KEPT: Final = "no-store"
_MOST: Final = 2**31
"""RFC 9111, section 1.2.2: what is longer means this."""


def cache_headers(freshness: EntryFreshness | None, *, is_public: bool) -> dict[str, str]:
    """Return the header fields of an answer whose value is as fresh as this.

    It is fresh for as long as the value is in the cache: a cache on the way takes ``Age`` off ``max-age``, so
    ``max-age`` is the age and what is left. Nobody may serve it for longer than the cache itself would. What
    never expires, or is not held, must be asked for each time: the cache forgets it when it is invalidated,
    and those on the way are not told.
    """
    who = "public" if is_public else "private"
    if freshness is None or freshness.expires_in is None:
        return {"Cache-Control": f"{who}, no-cache"}
    age = None if freshness.age is None else _whole(freshness.age)
    directives = [who, f"max-age={min(_MOST, (age or 0) + _whole(freshness.expires_in))}"]
    over = min(0.0, freshness.expires_in)
    for name, window in (
        ("stale-while-revalidate", freshness.stale_while_revalidate),
        ("stale-if-error", freshness.stale_if_error),
    ):
        if (left := _whole(window + over)) > 0:
            directives.append(f"{name}={left}")
    headers = {"Cache-Control": ", ".join(directives)}
    return headers if age is None else {**headers, "Age": str(age)}


def _whole(seconds: float) -> int:
    return min(_MOST, max(0, floor(seconds)))
