"""Live control: orders to a running cache, by name and with a reason.

`BackfillCache.control` is a `Control`.
"""

from async_backfill._session.control.control import Control
from async_backfill._session.control.values import ControlStatus, Explanation, RunningBackfill
from async_backfill.contracts import ControlChannel, ControlOrder, ControlVerb

__all__ = [
    "Control",
    "ControlChannel",
    "ControlOrder",
    "ControlStatus",
    "ControlVerb",
    "Explanation",
    "RunningBackfill",
]
