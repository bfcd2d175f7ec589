"""Settings that most users never change, in small frozen groups that check themselves.

Where they take seconds they take a `datetime.timedelta` as well; what is kept is a ``float``.
"""

from async_backfill.policies._backfill import SELECTIONS, BackfillPolicy, HistoryPolicy, SelectionName
from async_backfill.policies._freshness import FreshnessPolicy
from async_backfill.policies._load import CircuitPolicy, ContextName, LoadPolicy

__all__ = [
    "SELECTIONS",
    "BackfillPolicy",
    "CircuitPolicy",
    "ContextName",
    "FreshnessPolicy",
    "HistoryPolicy",
    "LoadPolicy",
    "SelectionName",
]
