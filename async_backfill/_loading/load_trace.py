"""What is known of a load whose span is made: its callers, the span, and what came of it so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from async_backfill._common.callers import Callers
from async_backfill._loading.failures import GivenUpError
from async_backfill.outcomes import Failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from async_backfill.contracts import OpenSpan


class LoadTrace:
    """The callers of a load, its span once it has begun, and what its batches brought so far.

    ``open``
        how many of its batches have not landed.
    ``has_called``
        whether the source has been called for it.
    """

    __slots__ = ("callers", "cancelled", "copies", "error", "failed", "found", "has_called", "open", "span")

    def __init__(self) -> None:
        self.callers = Callers()
        self.span: OpenSpan | None = None
        self.open = 1
        self.has_called = False
        self.found = self.failed = self.copies = 0
        self.cancelled = False
        self.error: BaseException | None = None

    def shared(self) -> LoadTrace:
        """Return this for one more batch, a part of the load."""
        self.open += 1
        return self

    def landed(self, found: Mapping[Any, object], error: BaseException | None, copies: int) -> None:
        """Take note of what came of one of its batches; the span ends with the last."""
        failures = [answer.error for answer in found.values() if isinstance(answer, Failed)]
        self.found += len(found) - len(failures)
        self.failed += len(failures)
        self.copies += copies
        if isinstance(error, GivenUpError):
            self.cancelled, error = True, None
        elif error is None and failures and len(failures) == len(found):
            error = failures[0]
        self.error = self.error or error
        self.open -= 1
        if not self.open:
            self._end()

    def _end(self) -> None:
        span, error, self.error = self.span, self.error, None
        if span is None:
            return
        facts: dict[str, object] = {"found": self.found}
        if self.copies:
            facts["found_in_far_tier"] = self.copies
        if self.failed:
            facts["failed"] = self.failed
        if self.cancelled:
            facts["cancelled"] = True
        if self.callers.left_out:
            facts["callers_not_linked"] = self.callers.left_out
        span.end(facts, error)
