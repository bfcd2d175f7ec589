"""The one encoding of keys: it agrees with ``==`` and hash, and a key comes back equal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from async_backfill._common.key_classes import UnknownClassError
from async_backfill._common.key_codec import KeyCodec
from async_backfill.contracts import KeyType
from async_backfill.errors import ConfigurationError, KeyRefusedError
from async_backfill.sources.typed import TypedKey
from tests.common.key_values import CLASSES, ByMail, ByName, Colour, Number, Point, Seat, are_one, keys

EQUAL = KeyCodec(CLASSES)
EXACT = KeyCodec(CLASSES, exact=True)


@settings(max_examples=300)
@given(keys, keys)
@example((), frozenset())
@example(("a", "b"), ("a1::b",))
@example(TypedKey(1), TypedKey(True))
@example(TypedKey(Decimal("1.0")), TypedKey(Decimal(1)))
@example(ByName("ada"), ByMail("ada"))
def test_two_keys_have_one_form_exactly_when_they_are_one_key(one, other):
    assert (EQUAL.encode(one) == EQUAL.encode(other)) is are_one(one, other)


@settings(max_examples=150)
@given(st.lists(keys, max_size=12))
def test_of_many_keys_as_many_forms_are_made_as_a_dict_has_keys(many):
    assert len({EQUAL.encode(key) for key in many}) == len(dict.fromkeys(many))


@settings(max_examples=150)
@given(keys)
def test_a_key_comes_back_as_one_that_is_equal(key):
    back = EQUAL.decode(EQUAL.encode(key))

    assert are_one(back, key)
    assert EQUAL.encode(back) == EQUAL.encode(key)


def typed(key):
    """Return ``key`` with the types of its numbers."""
    if type(key) is tuple:
        return tuple(typed(part) for part in key)
    return type(key), str(key)


exact_numbers = st.one_of(
    st.integers(), st.booleans(), st.floats(allow_nan=False), st.decimals(allow_nan=False), st.fractions()
)


@given(st.recursive(exact_numbers, lambda parts: st.lists(parts, max_size=3).map(tuple), max_leaves=4))
@example(-0.0)
@example(Decimal("1.00"))
@example(complex(1.0, 0.0))
def test_a_number_in_a_journal_comes_back_with_its_type(key):
    assert typed(EXACT.decode(EXACT.encode(key))) == typed(key)


@settings(max_examples=150)
@given(keys)
def test_an_exact_form_comes_back_as_a_key_that_is_equal(key):
    assert are_one(EXACT.decode(EXACT.encode(key)), key)


@pytest.mark.parametrize("key", [Colour.RED, Number.ONE, Point(1, "a"), Seat("a", 1), (ByName(Number.ONE),)])
def test_a_class_that_was_given_comes_back_as_itself(key):
    back = EXACT.decode(EXACT.encode(key))

    assert (type(back), back) == (type(key), key)


@pytest.mark.parametrize("key", [Colour.RED, Number.ONE, Point(1, "a"), Seat("a", 1)])
def test_a_class_that_was_not_given_is_not_exact(key):
    with pytest.raises(KeyRefusedError, match=f"say key_type={type(key).__name__}"):
        KeyCodec(exact=True).encode(key)


@pytest.mark.parametrize(
    "given", [Seat, Seat | None, tuple[str, Seat], (str, Seat), Annotated[Seat, "x"], [Seat]]
)
def test_a_class_can_be_given_in_any_annotation(given):
    codec = KeyCodec(given)

    assert codec.decode(codec.encode(("a", Seat("b", 2)))) == ("a", Seat("b", 2))


@dataclass(frozen=True)
class Ticket:
    seat: Seat
    colour: Colour


def test_the_classes_of_the_fields_of_a_class_are_given_with_it():
    key = Ticket(Seat("a", 1), Colour.BLUE)

    assert KeyCodec(Ticket).decode(EQUAL.encode(key)) == key


class AnyCase(str):
    """Text that is equal to itself in other cases."""

    __slots__ = ()

    def __eq__(self, other):
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self):
        return hash(self.lower())


@dataclass(frozen=True)
class Loose:
    value: str

    def __eq__(self, other):
        return isinstance(other, Loose) and self.value.lower() == other.value.lower()

    def __hash__(self):
        return 1


@dataclass
class Changing:
    value: str
    __hash__ = object.__hash__


class Moving(msgspec.Struct):
    value: str
    __hash__ = object.__hash__


class Hostile:
    def __getattribute__(self, name):
        raise RuntimeError(name)


def local_class():
    @dataclass(frozen=True)
    class Local:
        value: str

    return Local("a")


def nested(depth):
    key = "inside"
    for _ in range(depth):
        key = (key,)
    return key


BERLIN = ZoneInfo("Europe/Berlin")
REFUSED = [
    (object(), "when two such keys are equal"),
    (AnyCase("a"), "when two such keys are equal"),
    (Loose("a"), "__eq__ of its own"),
    (Changing("a"), "not frozen"),
    (Moving("a"), "not frozen"),
    (local_class(), "not at the top of a module"),
    (math.nan, "NaN"),
    (complex(math.nan, 1.0), "NaN"),
    (Decimal("NaN"), "NaN"),
    (("a", math.nan), "NaN"),
    (Decimal("1E+99999999"), "10,000 digits"),
    (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), "use UTC"),
    (datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN), "use UTC"),
    (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), "outside of the years"),
    (time(1, tzinfo=timezone(timedelta(hours=1))), "times of day"),
    (nested(101), "nested more than 100 deep"),
    (nested(10_000), "nested more than 100 deep"),
    (partial(print), "when two such keys are equal"),
    (type, "when two such keys are equal"),
]


@pytest.mark.parametrize(("key", "why"), REFUSED, ids=range(len(REFUSED)))
def test_a_key_that_cannot_be_told_apart_is_refused_and_the_error_says_why(key, why):
    for codec in (EQUAL, EXACT):
        for _ in range(2):  # also when its class is known already
            with pytest.raises(KeyRefusedError, match=why) as refused:
                codec.encode(key)
            assert refused.value.keys == (key,)


def test_a_hostile_class_fails_its_own_key():
    with pytest.raises(KeyRefusedError):
        EQUAL.encode(Hostile())


def test_a_hundred_nested_tuples_are_a_key():
    assert EQUAL.decode(EQUAL.encode(nested(100))) == nested(100)


def test_numbers_and_text_of_numpy_are_the_plain_ones():
    numpy = pytest.importorskip("numpy")
    scalars = [numpy.int64(1), numpy.float64(0.5), numpy.float32(0.1), numpy.str_("a"), numpy.bytes_(b"a")]

    for key in (*scalars, numpy.bool_(True)):
        assert EQUAL.encode(key) == EQUAL.encode(key.item())
    with pytest.raises(KeyRefusedError):
        EQUAL.encode(numpy.datetime64("2026-01-01T00:00:00.000000001"))


LOOSE = KeyType(type=Loose, name="loose", encode=lambda key: key.value.lower(), decode=Loose)
LOCAL = local_class()


def test_a_type_of_the_users_own_says_what_is_equal():
    codec = KeyCodec((LOOSE, Colour))

    assert codec.encode(Loose("A")) == codec.encode(Loose("a")) != codec.encode("a")
    assert codec.decode(codec.encode((Loose("A"), Colour.RED))) == (Loose("a"), Colour.RED)
    assert codec.encode(ByName(Loose("A"))) == codec.encode(ByName(Loose("a")))


def test_a_type_of_the_users_own_gives_a_local_class_a_name():
    own = KeyType(type=type(LOCAL), name="local", encode=lambda key: key.value, decode=type(LOCAL))

    assert KeyCodec(own).decode(KeyCodec(own).encode(LOCAL)) == LOCAL


def test_a_type_whose_functions_fail_refuses_its_key_and_damages_no_other():
    codec = KeyCodec(KeyType(type=Loose, name="loose", encode=lambda key: key.gone, decode=Loose))
    with pytest.raises(KeyRefusedError, match="AttributeError"):
        codec.encode(Loose("a"))

    assert codec.encode("a") == b":a"


@pytest.mark.parametrize(
    "wrong",
    [
        KeyCodec,
        int | UUID | KeyCodec,
        Changing,
        type(LOCAL),
        (LOOSE, KeyType(type=AnyCase, name="loose", encode=str, decode=AnyCase)),
        KeyType(type=str, name="text", encode=str, decode=str),
    ],
)
def test_a_class_that_cannot_be_that_of_a_key_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"^key_type: "):
        KeyCodec(wrong)


@pytest.mark.parametrize("settings", [{"name": ""}, {"name": 3}, {"type": "str"}])
def test_a_type_without_a_name_or_a_class_is_refused(settings):
    with pytest.raises(ConfigurationError):
        KeyType(**{"type": Loose, "name": "a", "encode": str, "decode": str, **settings})


@pytest.mark.parametrize("given", [Any, str, object, str | int, tuple[str, ...], frozenset[UUID], None])
def test_a_standard_type_may_be_given_too(given):
    assert KeyCodec(given).decode(b":a") == "a"


@given(
    st.binary(max_size=30)
    | st.builds(
        lambda mark, rest: mark + rest,
        st.sampled_from("({@&Ti./xfDFC").map(str.encode),
        st.binary(max_size=20),
    )
)
@example(b"(1:n" * 30)
@example(b"(" + b"4:(1:n" * 3)
@example(b".nan")
@example(b"DNaN")
@example(b"/1/0")
@example(b"T5::None1:n")
@example(b"(-1:n")
@example(b"")
def test_damaged_bytes_are_a_key_or_refused_and_nothing_else(data):
    try:
        key = EQUAL.decode(data)
    except ValueError:
        return
    assert key == key  # noqa: PLR0124 - no NaN
    hash(key)


def test_bytes_that_are_nested_without_end_are_refused():
    data = b"n"
    for _ in range(1000):
        data = b"(%d:%b" % (len(data), data)
    with pytest.raises(ValueError, match="nested too deep"):
        EQUAL.decode(data)


def test_a_class_that_is_not_known_is_never_imported():
    with pytest.raises(UnknownClassError, match="say key_type=Seat"):
        KeyCodec().decode(EQUAL.encode(Seat("a", 1)))


class Again(Enum):
    RED = 1


def test_a_class_with_the_name_of_another_is_not_taken_for_it(monkeypatch):
    monkeypatch.setitem(globals(), "Again", Colour)
    with pytest.raises(KeyRefusedError, match="not at the top of a module"):
        KeyCodec().encode(OLD)


OLD = Again.RED
