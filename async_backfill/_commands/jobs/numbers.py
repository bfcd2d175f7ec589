"""Converters for what is typed after a verb: the number of a job, a sample, settings."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from cyclopts import Parameter

from async_backfill._commands.integers import integer
from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cyclopts import Token

JobNumber: TypeAlias = Annotated[int, Parameter(name="ID", converter=integer)]
"""The number of a job, as ``jobs ls`` shows it."""

Rows: TypeAlias = Annotated[int | None, Parameter(converter=integer, show_default=False)]

_SETTINGS: Final = ("rate", "batch", "lanes", "pages")
_WORDS: Final = MappingProxyType({"rate": "none", "batch": "auto", "pages": "none"})
_EXPECTED: Final = "rate=NUMBER, batch=NUMBER, lanes=NUMBER or pages=NUMBER"


def share_or_rows(_: object, tokens: Sequence[Token]) -> float:
    """Return a share, such as 0.02, or a number of rows, such as 500."""
    text = tokens[0].value.strip()
    if re.fullmatch(r"[0-9]{1,18}", text) and int(text) > 0:
        return int(text)
    if re.fullmatch(r"(0?\.[0-9]+|1\.0*)", text) and float(text) > 0.0:
        return float(text)
    raise ValueError(f'"{text[:60]}" is neither a share above 0.0 and up to 1.0, nor a number of rows')


def settings_of(words: Sequence[str]) -> Mapping[str, Any]:
    """Return the settings in words such as ``rate=5000``.

    :raises ConfigurationError: for a name or a value that is not known.
    """
    given: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if name not in _SETTINGS or not equals:
            raise ConfigurationError(f'"{word[:60]}"', f"expected {_EXPECTED}")
        if name in given:
            raise ConfigurationError(name, "is given twice")
        given[name] = _value(name, text)
    if not given:
        raise ConfigurationError("nothing to set", f"say {_EXPECTED}")
    return given


def _value(name: str, text: str) -> float | str:
    if text == _WORDS.get(name):
        return text
    try:
        return float(text) if name == "rate" else int(text)
    except ValueError:
        also = f' or "{_WORDS[name]}"' if name in _WORDS else ""
        what = "a number" if name == "rate" else "a whole number"
        raise ConfigurationError(name, f'must be {what}{also}, not "{text[:60]}"') from None
