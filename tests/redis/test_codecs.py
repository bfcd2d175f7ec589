"""Codecs: a value comes back in the types and with the content that it had, or is refused."""

from __future__ import annotations

import enum
import itertools
import logging
from collections import Counter, OrderedDict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("redis", reason="needs the extra redis")
from async_backfill._envelopes.envelope import Envelopes
from async_backfill._envelopes.values.notices import Notices
from async_backfill._envelopes.values.plain import PlainCodec
from async_backfill._envelopes.values.same import is_same
from async_backfill._envelopes.values.typed import TypedCodec
from async_backfill.errors import ConfigurationError
from async_backfill.redis.codecs import FunctionCodec

KEY = b"ns:k\xa1a"
OFFSETS = st.integers(-86_399_999_999, 86_399_999_999).map(lambda us: timezone(timedelta(microseconds=us)))
NAMED = st.builds(lambda hours, name: timezone(timedelta(hours=hours), name), st.integers(-23, 23), st.text())
ZONES = st.none() | OFFSETS | NAMED | st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")])
MOMENTS = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.datetimes(),
    ZONES,
    st.sampled_from([0, 1]),
)
DECIMALS = st.decimals().filter(lambda number: not number.is_snan())  # it has no hash
HASHABLE = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(), st.integers(-(2**90), 2**90), st.floats(), st.binary()),
        *(st.text(st.characters()), st.text(), DECIMALS, st.dates(), MOMENTS, st.timedeltas()),
        *(st.uuids(), MOMENTS.map(lambda moment: moment.timetz())),
    ),
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3),
    max_leaves=4,
)
VALUES = st.recursive(
    HASHABLE | st.just(Decimal("sNaN")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=3),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=3),
    ),
    max_leaves=6,
)


class Level(enum.IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Pair(NamedTuple):
    a: int
    b: str


class Price(msgspec.Struct):
    amount: Decimal
    tags: list[str] = []
    level: Level = Level.LOW


@dataclass
class Row:
    id: UUID
    price: float
    day: date
    seen: set[int] = field(default_factory=set)


class Base(msgspec.Struct):
    x: int


class Derived(Base):
    y: int = 0


class OwnZone(tzinfo):
    def utcoffset(self, _):
        return timedelta(0)


def told(value):
    """Return ``value`` with the type of each part of it, for comparison where ``==`` says too little."""
    if isinstance(value, dict):
        return dict, [(told(key), told(part)) for key, part in value.items()]
    if isinstance(value, set | frozenset):
        return type(value), sorted(repr(told(part)) for part in value)
    if isinstance(value, list | tuple):
        return type(value), [told(part) for part in value]
    return type(value), repr(value)


@given(VALUES)
def test_a_value_comes_back_in_its_types_and_with_its_content(value):
    codec = PlainCodec()
    back = codec.decode(codec.encode(value))

    assert told(back) == told(value)
    assert is_same(back, value) or "nan" in repr(value).lower()  # NaN in a set is equal to nothing


@given(VALUES, st.data())
def test_a_changed_byte_never_gives_a_value(value, data):
    envelopes = Envelopes()
    envelope = bytearray(envelopes.seal_many([KEY], [value])[0])
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))

    assert envelopes.open_many([KEY], [bytes(envelope)]) == [None]


@given(st.binary(), st.integers(-128, 127))
def test_bytes_that_no_codec_wrote_are_no_value_or_one_of_the_types_it_takes(data, code):
    codec = PlainCodec()
    for payload in (data, msgspec.msgpack.encode(msgspec.msgpack.Ext(code, data))):
        value = None
        with suppress(Exception):  # whatever it raises makes a counted miss
            value = codec.decode(payload)
        assert told(codec.decode(codec.encode(value))) == told(value)


@pytest.mark.parametrize(
    "value",
    [
        *(object(), 1j, range(3), bytearray(b"a"), memoryview(b"a"), OrderedDict(a=1), Counter("a")),
        *(Level.LOW, Text("a"), Pair(1, "b"), Price(Decimal(1)), Row(UUID(int=1), 1.0, date(2026, 1, 1))),
        *(datetime(2026, 1, 1, tzinfo=OwnZone()), time(1, tzinfo=OwnZone()), int, lambda: None, ...),
        *(type("Own", (dict,), {})(), type("Own", (datetime,), {})(2026, 1, 1), Exception("a")),
    ],
    ids=itertools.count(),  # what they hold differs from run to run
)
@pytest.mark.parametrize(
    "around", [lambda v: v, lambda v: [v], lambda v: {"a": v}, lambda v: (v,), lambda v: {1: [{"b": v}]}]
)
def test_what_would_come_back_as_something_else_is_refused(value, around):
    with pytest.raises(TypeError, match=r"would (not )?come back"):
        PlainCodec().encode(around(value))


def test_a_key_of_a_dict_that_would_change_is_refused_too():
    for key in (Level.LOW, Text("a"), Pair(1, "b")):
        with pytest.raises(TypeError, match="would come back"):
            PlainCodec().encode({key: 1})


def test_a_value_that_holds_itself_is_refused_and_spoils_no_other():
    value: list[Any] = []
    value.append(value)
    envelopes = Envelopes()

    assert [one is None for one in envelopes.seal_many([KEY] * 3, [1, value, 2])] == [False, True, False]
    assert envelopes.unkept == {"unencodable": 1}


def test_rows_of_plain_cells_are_plain_messagepack():
    row = {"id": 1, "name": "a", "tags": ["x", None], "size": {"w": 1.5}}

    assert PlainCodec().encode(row) == msgspec.msgpack.encode(row)


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        *(
            (str, "a"),
            (int, 2**64 - 1),
            (float, float("nan")),
            (Decimal, Decimal("1.00")),
            (UUID, UUID(int=5)),
        ),
        *((Price, Price(Decimal("1.10"), ["a"])), (Row, Row(UUID(int=1), 0.5, date(2026, 1, 1), {1, 2}))),
        *((Level, Level.LOW), (tuple[int, str], (1, "a")), (Pair, Pair(1, "b")), (str | None, None)),
        (dict[str, list[Row]], {"a": [Row(UUID(int=1), -0.0, date(2026, 1, 1))]}),
        (datetime, datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_value_of_the_type_of_the_store_comes_back_in_it(value_type, value):
    codec = TypedCodec(value_type)

    assert is_same(codec.decode(codec.encode(value)), value)


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        *(
            (str, 1),
            (str, Decimal(1)),
            (int, True),
            (float, 1),
            (int, 2**64),
            (Price, {"amount": Decimal(1)}),
        ),
        *((Base, Derived(1, 2)), (Row, Row(UUID(int=1), 1, date(2026, 1, 1))), (list[int], (1, 2))),
        *((dict[str, Any], {"a": Decimal(1)}), (Any | None, UUID(int=1)), (dict[str, int], Counter("a"))),
        (datetime, datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)))),
        (list[float], [1.0, 2]),
    ],
)
def test_what_the_type_of_the_store_would_change_is_refused_when_it_is_written(value_type, value):
    with pytest.raises((TypeError, OverflowError)):
        TypedCodec(value_type).encode(value)


def test_the_name_of_a_typed_codec_tells_one_type_from_another():
    types = [int, str, Price, Row, list[int], list[str], dict[str, Price], Price | None, tuple[int, ...]]
    names = [TypedCodec(one).name for one in types]

    assert len(set(names)) == len(types)
    assert names == [TypedCodec(one).name for one in types]
    assert len(TypedCodec(tuple[*([dict[str, Price]] * 20)]).name) < 100


def of_functions(encode, decode):
    return FunctionCodec(encode, decode, name="mine")


def test_a_codec_of_two_functions_is_used_as_it_is():
    codec = of_functions(str.encode, bytes.decode)

    assert codec.decode(codec.encode("ä")) == "ä"


def test_a_value_that_two_functions_would_change_is_refused():
    codec = of_functions(msgspec.json.encode, msgspec.json.decode)

    assert codec.decode(codec.encode([1, "a"])) == [1, "a"]
    with pytest.raises(TypeError, match="mine would return it as something else"):
        codec.encode((1, "a"))


@pytest.mark.parametrize("failing", [lambda _: "no bytes", lambda _: 1 / 0, lambda _: None])
def test_what_a_codec_raises_or_returns_wrongly_refuses_that_value_only(failing):
    class Codec:
        name, version = "mine", 1

        def encode(self, value, /):
            return failing(value) if value == "bad" else value.encode()

        def decode(self, payload, /):
            return payload.decode()

    envelopes = Envelopes(codec=Codec())
    sealed = envelopes.seal_many([KEY] * 3, ["a", "bad", "b"])

    assert sealed[1] is None
    assert [copy.value for copy in envelopes.open_many([KEY] * 2, sealed[::2])] == ["a", "b"]


class UnprintableError(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("error", [UnprintableError(), ValueError("x" * 10_000), ValueError("a\nb")])
def test_an_error_with_a_text_that_fails_or_is_long_makes_one_short_line(error, caplog):
    def refuse(_):
        raise error

    envelopes = Envelopes(codec=of_functions(refuse, bytes.decode))

    assert envelopes.seal_many([KEY, KEY], ["a", "b"]) == [None, None]
    (line,) = caplog.messages
    assert len(line) < 600
    assert "\n" not in line


def test_what_a_codec_raises_when_it_reads_is_a_counted_miss():
    written = Envelopes(codec=of_functions(str.encode, bytes.decode)).seal_many([KEY], ["a"])
    envelopes = Envelopes(codec=of_functions(str.encode, lambda _: 1 / 0))

    assert envelopes.open_many([KEY], written) == [None]
    assert envelopes.rejected == {"wrong_type": 1}


@pytest.mark.parametrize("other", [{"name": "b"}, {"version": 2}])
def test_what_another_codec_or_another_version_wrote_is_a_counted_miss_and_said_once(other, caplog):
    first = FunctionCodec(str.encode, bytes.decode, name="a", version=1)
    second = FunctionCodec(str.encode, bytes.decode, **{"name": "a", "version": 1, **other})
    written = Envelopes(codec=first).seal_many([KEY], ["x"])
    envelopes = Envelopes(codec=second)

    assert envelopes.open_many([KEY] * 3, written * 3) == [None] * 3
    assert envelopes.rejected == {"other_codec": 3}
    (line,) = caplog.messages
    assert "a/1" in line


@pytest.mark.parametrize(
    "settings",
    [
        {"codec": of_functions(str.encode, bytes.decode), "value_type": str},
        {"codec": FunctionCodec(str.encode, bytes.decode, name=" ")},
        {"codec": FunctionCodec(str.encode, bytes.decode, name="a\nb")},
        {"codec": FunctionCodec(str.encode, bytes.decode, name="x" * 101)},
        {"codec": FunctionCodec(str.encode, bytes.decode, name="x", version=-1)},
        {"codec": FunctionCodec(str.encode, bytes.decode, name="x", version="1")},
    ],
)
def test_a_codec_that_cannot_be_named_in_an_envelope_is_refused(settings):
    with pytest.raises(ConfigurationError, match="codec"):
        Envelopes(**settings)


def test_a_refused_value_is_said_once_for_its_type_with_what_to_do(caplog):
    envelopes = Envelopes(max_bytes=200)
    with caplog.at_level(logging.WARNING, "async_backfill.far"):
        envelopes.seal_many([KEY] * 3, [Level.LOW] * 3)

    (line,) = caplog.messages
    assert "test_codecs.Level" in line
    assert "set value_type" in line
    assert envelopes.unkept == {"unencodable": 3}


def test_refused_values_are_told_at_most_once_a_second_and_each_type_once(caplog):
    now = [0.0]
    notices = Notices(lambda: now[0])
    for at, kind in [(0.0, "a"), (0.5, "b"), (0.9, "a"), (1.0, "b"), (2.5, "a"), (2.5, "c"), (9.0, "b")]:
        now[0] = at
        notices.tell(kind, lambda text=f"{kind} at {at}": text)

    assert caplog.messages == ["a at 0.0", "b at 1.0", "c at 2.5"]


def test_a_program_that_makes_classes_as_it_runs_does_not_fill_the_log(caplog):
    now = [0.0]
    notices = Notices(lambda: now[0])
    for number in range(1_000):
        now[0] = 2.0 * number
        notices.tell(str(number), lambda: "a line")

    assert len(caplog.messages) == 100


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *((1, True), (1, 1.0), (0.0, -0.0), ("a", b"a"), (Decimal("1.0"), Decimal("1.00")), ([1], (1,))),
        *(({1}, {1.0}), ({1: 2}, {1: 2.0}), ({1: 2}, {1.0: 2}), ({"a": 1, "b": 2}, {"b": 2, "a": 1})),
        *(([1], [1, 1]), ([1, "a"], [1, Text("a")]), ({(1,)}, {(1.0,)}), (frozenset(), set())),
        *((Price(Decimal("1.0")), Price(Decimal("1.00"))), (Base(1), Derived(1)), ((1, 2), Pair(1, 2))),
        (Row(UUID(int=1), 1, date(2026, 1, 1)), Row(UUID(int=1), 1.0, date(2026, 1, 1))),
        (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))),
    ],
)
def test_values_that_differ_in_type_or_content_anywhere_are_not_the_same(one, other):
    assert is_same(one, one)
    assert is_same(other, other)
    assert not is_same(one, other)
    assert not is_same(other, one)
