"""How many rows the next page has, so that it takes about half a second: a pure function."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

LEAST: Final = 100
MOST: Final = 20_000
_AIM: Final = 0.5
_OF_DEADLINE: Final = 5.0
_WEIGHT: Final = 0.4
_GROWTH: Final = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSize:
    """The size of the next page, and the mean seconds that a row took lately (``None``: not known yet).

    The mean is exponential, as in the batched migrations of GitLab, from which the figures are.
    """

    rows: int
    mean: float | None = None

    def after_page(self, rows: int, seconds: float, aim: float) -> PageSize:
        """Return the size after a page of ``rows`` that took ``seconds``, where one should take ``aim``.

        It grows by a fifth at most, and shrinks at once. A page that was not half full tells nothing: what
        a call costs at all would count as that of its rows.
        """
        last = seconds / rows if rows else 0.0
        if 2 * rows < self.rows or last <= 0.0:
            return self
        mean = last if self.mean is None else _WEIGHT * last + (1.0 - _WEIGHT) * self.mean
        return PageSize(rows=_within(min(aim / mean, self.rows * _GROWTH)), mean=mean)

    def after_timeout(self) -> PageSize:
        """Return half of the size, for a page that took too long to be read or written."""
        return replace(self, rows=_within(self.rows / 2), mean=None)

    @property
    def is_least(self) -> bool:
        """Whether it cannot be smaller."""
        return self.rows <= LEAST


def aim_of(deadline: float | None) -> float:
    """Return the seconds that a page should take, where the guard refuses it after ``deadline`` seconds."""
    return _AIM if deadline is None else min(_AIM, deadline / _OF_DEADLINE)


def most_at(rate: float | None) -> int:
    """Return the largest page at which no second has a twentieth more rows than ``rate``."""
    return MOST if rate is None else max(1, min(MOST, int(rate / 20.0)))


def _within(rows: float) -> int:
    return max(LEAST, min(MOST, round(rows)))
