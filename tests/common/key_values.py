"""Keys of all standard types, with many that are equal although their types differ."""

# ruff: noqa: DTZ001 - times without a zone are keys too

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import strategies as st

from async_backfill.sources.typed import TypedKey


class Markup(str):
    """As the safe strings of template engines."""

    __slots__ = ()

    def encode(self, *_):
        return b"something else"


class Colour(enum.Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796 - an alias, which is the same member
    BLUE = 1


class Shade(enum.StrEnum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: object
    y: object


@dataclass(frozen=True)
class ByName:
    value: object


@dataclass(frozen=True)
class ByMail:
    value: object


@dataclass(frozen=True)
class Seat:
    row: str
    number: object
    note: str = field(default="", compare=False)


class Struct(msgspec.Struct, frozen=True):
    value: object


CLASSES = (Markup, type(Path()), Colour, Shade, Number, Access, Point, ByName, ByMail, Seat, Struct)

ZONES = [None, UTC, timezone(timedelta(hours=5, minutes=30)), ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")]

small = st.integers(-3, 3)
numbers = st.one_of(
    small,
    st.integers(),
    st.integers(2**62, 2**65),
    st.booleans(),
    small.map(float),
    small.map(Decimal),
    small.map(Fraction),
    small.map(complex),
    st.floats(allow_nan=False),
    st.decimals(allow_nan=False, places=3),
    st.sampled_from([Decimal("1.0"), Decimal("1E+3"), Decimal("0.5"), Decimal("0.1"), Decimal("-0"), -0.0]),
    st.sampled_from([1000, 0.5, 0.1, 1e308, 5e-324, float("inf"), Decimal("-Infinity"), complex(0.0, -1.0)]),
    st.sampled_from([complex(-0.0, 1.0), complex(0.0, 1.0), 2**2000, Decimal(2**70), float(2**70)]),
    st.fractions(max_denominator=8),
    st.complex_numbers(allow_nan=False),
)
texts = st.one_of(
    st.sampled_from(
        ["", "1", "red", "a", "n", "#1", ":a", "\ud83d\ude42", "🙂", "\ud800", Markup("a"), Shade.RED]
    ),
    st.text(max_size=3),
    st.text(st.characters(categories=["Cs", "Cc", "Ll"]), max_size=3),
)
moments = st.one_of(
    st.builds(
        lambda hour, zone: datetime(2026, 1, 15, hour, 30, tzinfo=zone),
        st.integers(0, 23),
        st.sampled_from(ZONES),
    ),
    st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.sampled_from([UTC, ZONES[2]])),
    st.datetimes(),
    st.dates(),
    st.sampled_from([date(2026, 1, 15), datetime(2026, 1, 15), datetime(2026, 1, 15, fold=1)]),
    st.timedeltas(),
    st.times(),
    st.sampled_from([timedelta(1), timedelta(hours=24), time(0), time(0, fold=1)]),
)
others = st.one_of(
    st.none(),
    st.binary(max_size=3),
    st.sampled_from([*Colour, Access.READ, Access.READ | Access.WRITE, Number.ONE, b"1", b"red"]),
    st.sampled_from([uuid.UUID(int=7), str(uuid.UUID(int=7)), 7]),
    st.sampled_from(
        [
            ip_address("10.0.0.1"),
            ip_interface("10.0.0.1/32"),
            ip_network("10.0.0.1/32"),
            ip_address("::1"),
            "::1",
        ]
    ),
    st.sampled_from(
        [Path("a/b"), PurePosixPath("a/b"), PureWindowsPath("A/b"), PureWindowsPath("a/B"), "a/b"]
    ),
    st.sampled_from([range(0), range(1, 1), range(0, 3, 2), range(0, 4, 2), range(5, 6, 9), range(5, 6)]),
)


@st.composite
def plain(draw):
    return draw(draw(st.sampled_from([numbers, texts, moments, others])))


def combined(parts):
    return st.one_of(
        st.lists(parts, max_size=3).map(tuple),
        st.frozensets(parts, max_size=3),
        st.builds(Point, parts, parts),
        st.builds(ByName, parts),
        st.builds(ByMail, parts),
        st.builds(Struct, parts),
        st.builds(Seat, st.sampled_from("ab"), parts, note=st.sampled_from(["", "window"])),
        st.builds(TypedKey, parts),
    )


keys = st.recursive(plain(), combined, max_leaves=4)


def are_one(one, other):
    """Return whether two keys are one key of a dict."""
    return one == other and hash(one) == hash(other)
