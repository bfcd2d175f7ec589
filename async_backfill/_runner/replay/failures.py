"""The failed lookups of a replay: their causes, and how many are too many."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from async_backfill._runner.scenario.first_answer import SourceFailedError
from async_backfill._runner.wording import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from async_backfill.errors import LoadError

_NUMBER: Final = re.compile("[0-9]+")
_MOST: Final = 100
_SHOWN: Final = 3
_LONGEST: Final = 200


class Failures:
    """Counts failed lookups by cause, of which it keeps a hundred.

    Causes whose texts differ in numbers only are one; the first text stands for all.

    :param hidden: returns the text of an error as it may be shown.
    """

    def __init__(self, hidden: Callable[[str], str] = str) -> None:
        self._hidden = hidden
        self.count = 0
        self._causes: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def note(self, error: LoadError) -> None:
        """Count ``error`` under its cause."""
        self.count += 1
        cause = error.__cause__ or error
        text = one_line(self._hidden(f"{type(cause).__name__}: {cause}"))[:_LONGEST]
        kind = _NUMBER.sub("", text)
        if kind in self._first or len(self._first) < _MOST:
            self._causes[self._first.setdefault(kind, text)] += 1

    def first(self) -> Sequence[tuple[str, int]]:
        """Return the most frequent causes, each with the number of its lookups."""
        return self._causes.most_common(_SHOWN)

    def check(self, lookups: int, most: float) -> None:
        """Check that at most the share ``most`` of ``lookups`` failed.

        :raises SourceFailedError: when more did.
        """
        if self.count > most * lookups:
            (cause, _), *_ = self.first()
            raise SourceFailedError(
                f"{self.count:,} of {lookups:,} lookups failed, more than --max-failed {most:g} allows; "
                f"nothing was written; the most frequent cause: {cause}"
            )
