"""Helpers for error messages of one short line: show a place in a document, or a value."""

from __future__ import annotations

import difflib
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Place: TypeAlias = "tuple[Place, str | int] | None"
"""A place in a document: the place of its container, and its name or number there; ``None`` is the root.

A linked list, because each value of a document has a place, and hardly any is ever shown.
"""

_LONGEST: Final = 60
_MOST_STEPS: Final = 8


def path_of(place: Place) -> str:
    """Return ``place`` as a JSON path: ``$.lookups[3]``, ``$.source["a b"]``."""
    steps: list[str] = []
    while place is not None:
        place, step = place
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif step.isidentifier() and step.isascii() and len(step) <= _LONGEST:
            steps.append(f".{step}")
        else:
            steps.append(f"[{shown(step)}]")
    steps.reverse()
    return "$" + "".join(steps[:_MOST_STEPS]) + ("..." if len(steps) > _MOST_STEPS else "")


def shown(value: object) -> str:
    """Return ``value`` as JSON in ASCII, shortened when it is long."""
    if isinstance(value, str):
        value = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
        return json.dumps(value)
    text = json.dumps(value, default=str)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the name in ``known``, all in lower case, that is most similar to ``name``."""
    return difflib.get_close_matches(name[:_LONGEST].casefold(), list(known), n=1, cutoff=0.0)[0]


def one_line(text: str) -> str:
    """Return ``text`` with unprintable characters escaped, such as line ends and control characters."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def share(value: float) -> str:
    """Return a share as per cent."""
    return f"{value:.1%}".replace("%", " %")


def in_utc(time: float) -> str:
    """Return seconds since the epoch as a time in UTC.

    :raises OverflowError, ValueError, OSError: when that is no time of a calendar.
    """
    return f"{datetime.fromtimestamp(time, tz=UTC):%Y-%m-%d %H:%M:%S} UTC"
