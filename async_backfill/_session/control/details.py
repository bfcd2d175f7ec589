"""Say what an order is about, in one line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from async_backfill._common.error_text import key_text

if TYPE_CHECKING:
    from async_backfill.contracts import ControlOrder


def details_of(order: ControlOrder) -> str | None:
    """Return what an order says besides its verb, in one line; ``None`` for nothing."""
    if order.verb == "invalidate":
        return f"key={key_text(order.key)}"
    return ", ".join(f"{name}={value}" for name, value in order.details.items()) or None
