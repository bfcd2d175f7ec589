"""Say what an order is about, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from async_backfill.contracts import ControlOrder

_LONGEST_KEY: Final = 100


def details_of(order: ControlOrder) -> str | None:
    """Return what an order says besides its verb, in one line; ``None`` for nothing."""
    if order.verb == "invalidate":
        key = repr(order.key)
        return f"key={key}" if len(key) <= _LONGEST_KEY else f"key={key[: _LONGEST_KEY - 3]}..."
    return ", ".join(f"{name}={value}" for name, value in order.details.items()) or None
