"""Values in the words of a page: numbers, times and texts, whatever they hold."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup, escape

from async_backfill._runner.wording import in_utc, one_line, share

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NOTHING: Final = "–"  # noqa: RUF001 - a dash
_LONGEST: Final = 500
_KIB: Final = 1024.0
_LONG_AGO: Final = 253_402_300_800.0  # the year 10000


def shown(value: object) -> object:
    """Return what stands for ``value`` in a page: of a text one bounded line without control characters."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return text(value)
    return NOTHING if value is None else value


def text(value: object) -> str:
    """Return ``value`` as a text of one line, of about 500 characters at the most."""
    said = str(value)
    if len(said) > _LONGEST:
        said = f"{said[:_LONGEST]}... ({len(said):,} characters)"
    return one_line(said)


def count(value: float) -> str:
    """Return a number with commas, and a place behind the point where it matters."""
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:,.1f}"


def seconds(value: float) -> str:
    """Return a length of time, such as ``00:12:40``; below a minute ``2.1 s``."""
    if abs(value) < 60:
        return f"{value:,.1f} s"
    hours, rest = divmod(int(abs(value)), 3600)
    return f"{'-' if value < 0 else ''}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}"


def size(value: float) -> str:
    """Return a number of bytes, such as ``3.4 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < _KIB:
            return f"{value:,.1f} {unit}"
        value /= _KIB
    return f"{value:,.1f} TiB"


def time(value: float) -> str:
    """Return seconds since the epoch as a time in UTC."""
    return in_utc(value) if 0 <= value < _LONG_AGO else text(value)


def _status(value: str) -> str:
    return text(value).replace("_", " ")


_WORDS: Final[Mapping[str, Callable[[Any], str]]] = MappingProxyType(
    {
        "text": text,
        "status": _status,
        "count": count,
        "seconds": seconds,
        "size": size,
        "share": share,
        "time": time,
    }
)


def figure(record: object, path: str, words: str = "count") -> Markup:
    """Return the field of ``record`` at ``path``, such as ``"counts.read"``, marked with that path.

    So what a page shows can be compared with the record; ``words`` is how it is written.
    """
    value: Any = record
    for step in path.split("."):
        if step.isdigit():
            value = value[int(step)]
        else:
            value = value[step] if isinstance(value, (dict, MappingProxyType)) else getattr(value, step)
    said = NOTHING if value is None else _WORDS[words](value)
    exact = "" if value is None else escape(text(value))
    # The path is of a template; a thousand of these are made for a page, so nothing is formatted twice.
    said_so = f'<data data-of="{path}" value="{exact}">{escape(said)}</data>'
    return Markup(said_so)  # noqa: S704 - each part of it is escaped
