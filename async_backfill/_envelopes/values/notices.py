"""Count what is not shared between processes, and say once why."""

from __future__ import annotations

import logging
import time
from collections import Counter
from traceback import format_exception_only
from typing import TYPE_CHECKING, Final

from async_backfill._common.line_a_second import LineASecond

if TYPE_CHECKING:
    from collections.abc import Callable

_LOGGER: Final = logging.getLogger("async_backfill.far")
_MOST: Final = 100  # kinds; a program that makes classes as it runs fills neither the log nor memory
_LONGEST: Final = 400  # characters of an error's text


class Notices:
    """Logs one line for each kind of trouble, at most one a second; the rest is only counted.

    :param clock: returns seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._log = LineASecond(_LOGGER, clock)
        self._told: set[str] = set()

    def tell(self, kind: str, text: Callable[[], str]) -> None:
        """Log ``text()``, unless a line of ``kind`` was logged, or any line within the last second."""
        if kind not in self._told and len(self._told) < _MOST and self._log.is_due:
            self._told.add(kind)
            self._log.warning("%s", text())


class Refusals:
    """Counts the values that are not kept, by reason, and says so once for each type."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self.counts: Counter[str] = Counter()

    def unencodable(self, value: object, error: Exception) -> None:
        """Take note of a value that the codec refused with ``error``."""
        self._refuse("unencodable", value, lambda: _short(error))

    def too_large(self, value: object, size: int, most: int) -> None:
        """Take note of a value of ``size`` bytes, more than the ``most`` that are kept."""
        self._refuse("too_large", value, lambda: f"it has {size} bytes encoded, max_value_bytes is {most}")

    def other_codec(self, theirs: bytes, ours: bytes) -> None:
        """Say that a copy is not used because the codec ``theirs`` wrote it."""
        self._notices.tell(
            f"codec {theirs!r}",
            lambda: (
                f"what the codec {theirs!r} wrote is not used, this store has {ours!r}: "
                "give all stores of a namespace the same value_type or codec"
            ),
        )

    def _refuse(self, reason: str, value: object, why: Callable[[], str]) -> None:
        self.counts[reason] += 1
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        self._notices.tell(
            f"{reason} {kind}", lambda: f"a {kind} is not shared, so each process loads it: {why()}"
        )


def _short(error: Exception) -> str:
    """Return one line about ``error``, whose own text may be long, or fail."""
    text = " ".join("".join(format_exception_only(error)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
