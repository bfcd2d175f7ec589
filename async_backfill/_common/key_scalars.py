"""The encoding of single keys: numbers, text, bytes, dates, and other standard types without parts.

A number is encoded by its value, not by its type, because ``1``, ``True``, ``1.0`` and ``Decimal(1)`` are one
key. Each form begins with a letter or sign of its own; `DECODERS` has them all.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from fractions import Fraction
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

SHORT: Final = 2**63
"""Whole numbers below it, and above its negative, are written in decimal digits."""

_MOST_DIGITS: Final = 10_000  # of a Decimal: one with a larger exponent would be a number of that many digits
_LONGEST_FRACTION: Final = 20_000  # bytes, as hexadecimal digits
_SIGNS: Final = 64  # bits, more than enough for what is no digit
_INFINITY: Final = math.inf
_SURROGATES: Final = "surrogatepass"  # a lone surrogate is a character of Python's text, but not of UTF-8


class RefusalError(ValueError):
    """The reason why a key cannot be encoded, to be followed by what to do."""


def whole(number: int) -> bytes:
    """Encode a whole number."""
    # Decimal digits of a very large number take long, and Python limits them.
    return b"#%d" % number if -SHORT < number < SHORT else b"x%x" % number


def real(number: float | Decimal | Fraction) -> bytes:
    """Encode a real number by its value, so that those that are equal have one form."""
    if not number:
        return b"#0"
    if isinstance(number, Decimal) and number.is_finite() and abs(_exponent(number)) > _MOST_DIGITS:
        raise RefusalError(f"it has more than {_MOST_DIGITS:,} digits")
    if not isinstance(number, Fraction):
        if number != number:  # noqa: PLR0124 - for all types of numbers
            raise RefusalError("NaN is not equal to itself")
        if number in {_INFINITY, -_INFINITY}:
            return b".inf" if number > 0 else b".-inf"
    above, below = number.as_integer_ratio()
    if below == 1:
        return whole(above)
    if above.bit_length() + below.bit_length() > _LONGEST_FRACTION * 4 - _SIGNS:
        raise RefusalError(f"it has more than {_MOST_DIGITS:,} digits")
    try:
        nearest = above / below
    except OverflowError:
        nearest = 0.0
    if nearest.as_integer_ratio() == (above, below):
        return b"." + repr(nearest).encode()
    return b"/%x/%x" % (above, below)


def _exponent(number: Decimal) -> int:
    return int(number.as_tuple().exponent)


def imaginary(number: complex) -> bytes:
    """Encode a complex number; one without an imaginary part is equal to a real one."""
    if number.imag == 0.0:
        return real(number.real)
    if math.isnan(number.real) or math.isnan(number.imag):
        raise RefusalError("NaN is not equal to itself")
    return f"c{number.real + 0.0!r}/{number.imag!r}".encode()  # + 0.0, because -0.0 is equal to 0.0


def text(key: str) -> bytes:
    """Encode text; it stays readable."""
    return b":" + str.encode(key, "utf-8", _SURROGATES)


def _moment(key: datetime) -> bytes:
    at = datetime(key.year, key.month, key.day, key.hour, key.minute, key.second, key.microsecond)  # noqa: DTZ001
    offset = key.replace(fold=0).utcoffset()
    if offset is None:
        return b"w" + at.isoformat().encode()
    if offset != key.replace(fold=1).utcoffset():
        # Python has it equal to no time in another zone, and to another moment in its own: PEP 495.
        raise RefusalError("clocks show this time twice, or never; use UTC")
    try:
        return b"z" + (at - offset).isoformat().encode()
    except OverflowError:
        raise RefusalError("in UTC it is outside of the years 1 to 9999") from None


def _time_of_day(key: time) -> bytes:
    if key.utcoffset() is not None:
        raise RefusalError("times of day in different zones are equal, but not with the same hash")
    return b"h" + time(key.hour, key.minute, key.second, key.microsecond).isoformat().encode()


def _range(key: range) -> bytes:
    length = max(0, (key.stop - key.start + key.step - (1 if key.step > 0 else -1)) // key.step)
    step = key.step if length > 1 else 1
    return b"g%d,%d,%d" % (length, key.start if length else 0, step)


_NETS: Final = MappingProxyType(
    {
        "4a": IPv4Address,
        "4i": IPv4Interface,
        "4n": IPv4Network,
        "6a": IPv6Address,
        "6i": IPv6Interface,
        "6n": IPv6Network,
    }
)


def _net(mark: str) -> Callable[[Any], bytes]:
    return lambda key: f"i{mark}{key}".encode("utf-8", _SURROGATES)


ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = MappingProxyType(
    {
        NoneType: lambda _: b"n",
        bool: lambda key: b"#1" if key else b"#0",
        int: lambda key: whole(int.__int__(key)),
        float: lambda key: real(float.__float__(key)),
        complex: lambda key: imaginary(complex.__complex__(key)),
        Decimal: lambda key: real(Decimal(key)),
        Fraction: lambda key: real(Fraction(key.numerator, key.denominator)),
        str: text,
        bytes: lambda key: b"b" + bytes.hex(key).encode(),
        date: lambda key: b"y" + date(key.year, key.month, key.day).isoformat().encode(),
        datetime: _moment,
        time: _time_of_day,
        timedelta: lambda key: b"l%d,%d,%d" % (key.days, key.seconds, key.microseconds),
        UUID: lambda key: b"u%032x" % key.int,
        PurePosixPath: lambda key: b"p" + PurePath.__str__(key).encode("utf-8", _SURROGATES),
        PureWindowsPath: lambda key: b"q" + PurePath.__str__(key).lower().encode("utf-8", _SURROGATES),
        range: _range,
        **{kind: _net(mark) for mark, kind in _NETS.items()},
    }
)
"""Encode a key of exactly this class, or of a subclass with the same ``==`` and hash."""

EXACT_ENCODERS: Final[Mapping[type, Callable[[Any], bytes]]] = MappingProxyType(
    {
        bool: lambda key: b"?1" if key else b"?0",
        float: lambda key: real(key) and b"f" + repr(float.__float__(key)).encode(),
        complex: lambda key: imaginary(key) and f"C{key.real!r}/{key.imag!r}".encode(),
        Decimal: lambda key: real(key) and b"D" + Decimal.__str__(key).encode(),
        Fraction: lambda key: b"F%x/%x" % (key.numerator, key.denominator),
    }
)
"""The same for numbers, with their type; these forms of equal numbers differ."""


def _utf8(data: bytes) -> str:
    return data.decode("utf-8", _SURROGATES)


def _not_nan(number: float) -> float:
    if math.isnan(number):
        raise ValueError("NaN is no key")
    return number


def _fraction(data: bytes) -> Fraction:
    if len(data) > _LONGEST_FRACTION:  # to reduce a fraction takes a time that grows with the square
        raise ValueError(f"a fraction of more than {_MOST_DIGITS:,} digits")
    above, below = data.split(b"/")
    return Fraction(int(above, 16), int(below, 16))


def _complex(data: bytes) -> complex:
    parts = data.split(b"/")
    left, right = (_not_nan(float(part)) for part in parts)
    return complex(left, right)


def _decimal(data: bytes) -> Decimal:
    number = Decimal(data.decode())
    if number.is_nan():
        raise ValueError("NaN is no key")
    return number


def _delta(data: bytes) -> timedelta:
    days, seconds, microseconds = map(int, data.split(b","))
    return timedelta(days, seconds, microseconds)


def _as_range(data: bytes) -> range:
    length, start, step = map(int, data.split(b","))
    return range(start, start + length * step, step)


DECODERS: Final[Mapping[bytes, Callable[[bytes], Hashable]]] = MappingProxyType(
    {
        b"n": lambda data: {b"": None}[data],
        b"#": int,
        b"x": lambda data: int(data, 16),
        b".": lambda data: _not_nan(float(data)),
        b"/": _fraction,
        b"c": _complex,
        b":": _utf8,
        b"b": lambda data: bytes.fromhex(data.decode()),
        b"y": lambda data: date.fromisoformat(data.decode()),
        b"w": lambda data: datetime.fromisoformat(data.decode()).replace(tzinfo=None),
        b"z": lambda data: datetime.fromisoformat(data.decode()).replace(tzinfo=UTC),
        b"h": lambda data: time.fromisoformat(data.decode()).replace(tzinfo=None),
        b"l": _delta,
        b"u": lambda data: UUID(data.decode()),
        b"p": lambda data: PurePosixPath(_utf8(data)),
        b"q": lambda data: PureWindowsPath(_utf8(data)),
        b"g": _as_range,
        b"i": lambda data: _NETS[data[:2].decode()](_utf8(data[2:])),
        b"?": lambda data: {b"0": False, b"1": True}[data],
        b"f": lambda data: _not_nan(float(data)),
        b"C": _complex,
        b"D": _decimal,
        b"F": _fraction,
    }
)
"""Decode what stands after the first byte; may raise anything that is an `Exception`."""


def as_type(kind: type, number: Any) -> Hashable:
    """Return the number of type ``kind`` that is equal to ``number``."""
    if kind is Decimal and isinstance(number, Fraction):
        above, below = number.as_integer_ratio()
        digits = max(1, above.bit_length() + below.bit_length())
        return Context(prec=digits).divide(Decimal(above), Decimal(below))
    return kind(number)  # type: ignore[no-any-return]
