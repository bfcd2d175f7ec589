"""Validation of settings; each error says which value was given and what is allowed.

A ``bool`` is refused although it is an ``int``, text although it could be parsed, and so are NaN and
infinity: a value that is nearly right is a mistake. A duration may also be a ``timedelta``; what is returned,
and kept, are its seconds.
"""

from __future__ import annotations

import math
from datetime import timedelta
from numbers import Integral, Real
from typing import TYPE_CHECKING

from async_backfill.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable


def whole(setting: str, value: object, *, least: int) -> int:
    """Return ``value`` as an ``int`` of at least ``least``, or raise `ConfigurationError`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ConfigurationError(setting, f"{value!r} is not a whole number (a {type(value).__name__})")
    number = int(value)
    if number < least:
        raise ConfigurationError(setting, f"{number} is less than {least}")
    return number


def whole_or_none(setting: str, value: object, *, least: int) -> int | None:
    """Return ``None`` for ``None``, else what `whole` returns."""
    return None if value is None else whole(setting, value, least=least)


def real(setting: str, value: object, *, least: float, most: float, why: str = "") -> float:
    """Return ``value`` as a finite ``float`` from ``least`` to ``most``, or raise `ConfigurationError`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ConfigurationError(setting, f"{value!r} is not a number (a {type(value).__name__}){why}")
    try:
        number = float(value)
    except OverflowError:
        raise ConfigurationError(setting, f"the number is beyond the range of a float{why}") from None
    if not least <= number <= most:  # also refuses NaN, which compares false with everything
        allowed = f"not between {least} and {most}" if math.isfinite(most) else f"not {least} or more"
        raise ConfigurationError(setting, f"{number} is {allowed}{why}")
    if math.isinf(number):
        raise ConfigurationError(setting, f"{number} is not a finite number{why}")
    return number


def seconds(setting: str, value: object) -> float:
    """Return ``value`` as a finite duration of 0.0 seconds or more, or raise `ConfigurationError`."""
    number = value.total_seconds() if isinstance(value, timedelta) else value
    return real(setting, number, least=0.0, most=math.inf)


def seconds_or_none(setting: str, value: object) -> float | None:
    """Return ``None`` for ``None``, else what `seconds` returns."""
    return None if value is None else seconds(setting, value)


def positive_seconds(setting: str, value: object, *, hint: str = "") -> float:
    """Return ``value`` as a finite duration above 0.0 seconds, or raise `ConfigurationError`."""
    number = seconds(setting, value)
    if number == 0.0:
        raise ConfigurationError(setting, f"0.0 is not above 0{hint}")
    return number


def positive_seconds_or_none(setting: str, value: object) -> float | None:
    """Return ``None`` for ``None``, else what `positive_seconds` returns."""
    return None if value is None else positive_seconds(setting, value, hint=" (None switches it off)")


def convert(settings: object, /, **checks: Callable[[str, object], object]) -> None:
    """Replace each field of the frozen ``settings`` that ``checks`` names by what the check returns."""
    for name, check in checks.items():
        object.__setattr__(settings, name, check(name, getattr(settings, name)))


def flag(setting: str, value: object) -> bool:
    """Return ``value`` if it is ``True`` or ``False``, or raise `ConfigurationError`."""
    if not isinstance(value, bool):
        raise ConfigurationError(setting, f"{value!r} is neither True nor False")
    return value


def text(setting: str, value: object) -> str:
    """Return ``value`` if it is text and not blank, or raise `ConfigurationError`."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(setting, f"must be text that is not blank, not {value!r}")
    return value
