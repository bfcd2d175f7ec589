"""Live control: orders to a running cache, by name and with a reason.

``control`` of a `BackfillCache` is a `Control`. The orders themselves, and the channel that brings them to a
fleet, are in `async_backfill.contracts`.
"""

from async_backfill._session.control.control import Control
from async_backfill._session.control.values import ControlStatus, Explanation, RunningBackfill

__all__ = [
    "Control",
    "ControlStatus",
    "Explanation",
    "RunningBackfill",
]
