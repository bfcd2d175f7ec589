"""pydantic models in the store: they come back as they were, or are refused."""

from __future__ import annotations

import itertools
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

pytest.importorskip("pydantic", reason="needs the extra pydantic")
pytest.importorskip("redis", reason="needs the extra redis")
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from async_backfill._envelopes.envelope import Envelopes
from async_backfill.errors import MissingExtraError
from async_backfill.redis.codecs import PydanticCodec

KEY = b"ns:k\xa1a"


class Tag(BaseModel):
    name: str
    weight: float = 1.0


class User(BaseModel):
    id: UUID
    name: str = Field(alias="userName")
    balance: Decimal | None = None
    born: date | None = None
    tags: list[Tag] = []


class Special(User):
    more: int = 0


class Made(BaseModel):
    name: str
    id: UUID = Field(default_factory=uuid4)


class Hidden(BaseModel):
    hint: str = Field("none", exclude=True)
    _note: str = PrivateAttr("")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    data: Any = None


def round_trip(codec, value):
    return codec.decode(codec.encode(value))


@given(st.builds(User, id=st.uuids(), userName=st.text(), balance=st.decimals(-9, 9) | st.none()))
def test_a_model_comes_back_as_it_was(user):
    back = round_trip(PydanticCodec(User), user)

    assert back == user
    assert type(back) is User
    assert back.model_fields_set == user.model_fields_set
    assert str(back.balance) == str(user.balance)


def test_a_model_comes_back_through_an_envelope():
    envelopes = Envelopes(codec=PydanticCodec(User))
    user = User(id=UUID(int=1), userName="a", born=date(2026, 1, 1), tags=[Tag(name="t")])
    (copy,) = envelopes.open_many([KEY], envelopes.seal_many([KEY], [user]))

    assert copy.value == user
    assert copy.value.tags[0].model_fields_set == {"name"}


@pytest.mark.parametrize("fields", [{"name": "a"}, {"name": "a", "id": UUID(int=1)}])
def test_a_default_that_is_made_anew_each_time_is_written_or_the_value_refused(fields):
    value = Made(**fields)
    envelopes = Envelopes(codec=PydanticCodec(Made))
    copies = envelopes.open_many([KEY], envelopes.seal_many([KEY], [value]))

    assert all(copy is None or copy.value.id == value.id for copy in copies)
    assert (copies[0] is not None) is ("id" in fields)


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (User, Special(id=UUID(int=1), userName="a")),
        (User, {"id": str(UUID(int=1)), "userName": "a"}),
        (User, User.model_construct(id="no uuid", name="a")),
        (Hidden, Hidden(hint="x")),
        (Open, Open(data=Decimal(1))),
        (Open, Open(more=datetime(2026, 1, 1, tzinfo=UTC))),
        (Open, Open(data=(1, 2))),
        (list[Tag], (Tag(name="a"),)),
        (User, None),
    ],
    ids=itertools.count(),
)
def test_what_pydantic_would_return_as_something_else_is_refused(model, value):
    envelopes = Envelopes(codec=PydanticCodec(model))

    assert envelopes.seal_many([KEY], [value]) == [None]
    assert envelopes.unkept == {"unencodable": 1}


def test_a_private_attribute_that_would_be_lost_refuses_the_model():
    value = Hidden()
    assert round_trip(PydanticCodec(Hidden), value) == value
    value._note = "x"

    with pytest.raises(TypeError, match="something else"):
        PydanticCodec(Hidden).encode(value)


@pytest.mark.parametrize(
    ("model", "value"),
    [(list[Tag], [Tag(name="a")]), (User | None, None), (Open, Open(data={"a": [1, None]}))],
)
def test_any_type_that_pydantic_validates_will_do(model, value):
    assert round_trip(PydanticCodec(model), value) == value


def test_what_another_model_or_version_wrote_is_a_counted_miss():
    (written,) = Envelopes(codec=PydanticCodec(Tag)).seal_many([KEY], [Tag(name="a")])
    for codec in (PydanticCodec(Open), PydanticCodec(Tag, version=2)):
        envelopes = Envelopes(codec=codec)

        assert envelopes.open_many([KEY], [written]) == [None]
        assert envelopes.rejected == {"other_codec": 1}


def test_without_a_codec_a_model_is_refused_with_what_to_do(caplog):
    envelopes = Envelopes()

    assert envelopes.seal_many([KEY], [Tag(name="a")]) == [None]
    assert "test_pydantic_codec.Tag" in caplog.text
    assert "a codec" in caplog.text


def test_without_pydantic_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    monkeypatch.delitem(sys.modules, "async_backfill._envelopes.values.models", raising=False)

    with pytest.raises(
        MissingExtraError, match=r"PydanticCodec: needs pydantic: .*async-backfill\[pydantic\]"
    ):
        PydanticCodec(Tag)
