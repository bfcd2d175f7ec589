"""Typed keys: no key gets the answer of another one that Python takes for equal."""

from __future__ import annotations

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache, BackfillPolicy, Failed, LoadError, MappingSource
from async_backfill.contracts import Page
from async_backfill.sources.typed import TypedKey, TypedScan, TypedSource
from tests.callers import outcomes

ALIKE = [1, True, 1.0, "1", 1 + 0j]
plain_keys = st.sampled_from([*ALIKE, 0, False, 0.0, "", None, (), b"1", (1,), (True, "x")])


def described(key):
    return f"{type(key).__name__} {key!r}"


class Describing:
    """Answers with what a key is; refuses a call for two keys that are equal."""

    def __init__(self):
        self.calls = []

    async def load_many(self, keys):
        assert len(set(keys)) == len(keys)
        self.calls.append(tuple(keys))
        return {key: described(key) for key in keys}


class Listed:
    """Scans keys that a dict would take for one."""

    async def scan(self, cursor, limit):
        start = cursor or 0
        page = ALIKE[start : start + limit]
        return Page(page, start + limit if start + limit < len(ALIKE) else None)


@settings(deadline=None)
@given(one=plain_keys, other=plain_keys)
def test_two_typed_keys_are_equal_when_the_keys_are_and_their_types_are_the_same(one, other):
    same = type(one) is type(other) and one == other

    assert (TypedKey(one) == TypedKey(other)) is same
    assert not same or hash(TypedKey(one)) == hash(TypedKey(other))
    assert len({TypedKey(one), TypedKey(other)}) == 2 - same


def test_a_typed_key_is_not_equal_to_its_plain_key_and_shows_it():
    assert TypedKey(1) != 1
    assert repr(TypedKey("a")) == "TypedKey('a')"


def test_a_typed_key_cannot_be_changed_and_an_unhashable_one_cannot_be_used():
    with pytest.raises(AttributeError):
        TypedKey(1).key = 2
    with pytest.raises(TypeError):
        hash(TypedKey([]))


@settings(deadline=None, max_examples=60)
@given(st.lists(plain_keys.map(TypedKey), unique=True, max_size=14))
def test_each_of_any_keys_gets_its_own_answer_and_no_call_asks_for_equal_ones(keys):
    found = anyio.run(TypedSource(Describing()).load_many, keys)

    assert {key: described(key.key) for key in keys} == found
    assert list(map(type, found)) == [TypedKey] * len(keys)


@pytest.mark.anyio
async def test_keys_that_differ_are_asked_for_in_one_call():
    source = Describing()
    await TypedSource(source).load_many([TypedKey(key) for key in ["a", "b", 1]])

    assert source.calls == [("a", "b", 1)]


@pytest.mark.anyio
async def test_in_a_cache_one_true_and_one_point_zero_do_not_answer_for_each_other():
    async with BackfillCache(TypedSource(Describing())) as cache:
        for _ in range(2):
            for key in ALIKE:
                assert await cache.get(TypedKey(key)) == described(key)

        assert (cache.stats.misses, cache.stats.hits, cache.stats.size) == (5, 5, 5)


@pytest.mark.anyio
async def test_nor_in_one_get_many_nor_at_the_same_time():
    keys = [TypedKey(key) for key in ALIKE]
    async with BackfillCache(TypedSource(Describing())) as cache:
        assert await cache.get_many(keys) == {key: described(key.key) for key in keys}
    async with BackfillCache(TypedSource(Describing())) as cache:
        assert await outcomes(cache.get, *[(key,) for key in keys]) == [described(key) for key in ALIKE]


@pytest.mark.anyio
async def test_nor_through_a_backfill():
    cache = BackfillCache(
        TypedSource(Describing()), scan=TypedScan(Listed()), backfill=BackfillPolicy(min_lookups=100)
    )
    async with cache:
        record = await cache.force_backfill()

        assert (record.keys, record.loaded) == (5, 5)
        assert [cache.peek(TypedKey(key)) for key in ALIKE] == [described(key) for key in ALIKE]


@pytest.mark.anyio
async def test_writing_one_leaves_the_others_alone():
    async with BackfillCache(TypedSource(Describing())) as cache:
        await cache.get_many([TypedKey(key) for key in ALIKE])
        await cache.put(TypedKey(1), "put")
        await cache.invalidate(TypedKey(True))

        assert [cache.peek(TypedKey(key)) for key in ALIKE[:3]] == ["put", None, described(1.0)]


@pytest.mark.anyio
async def test_absence_none_and_failures_are_handed_on():
    class Source:
        async def load_many(self, keys):
            answers = {"none": None, "failed": Failed(ValueError("bad"))}
            return {key: answers[key] for key in keys if key in answers}

    async with BackfillCache(TypedSource(Source())) as cache:
        assert await cache.get(TypedKey("none"), "default") is None
        assert await cache.get(TypedKey("absent"), "default") == "default"
        with pytest.raises(LoadError, match="bad"):
            await cache.get(TypedKey("failed"))


@pytest.mark.anyio
async def test_a_scan_goes_on_where_the_plain_one_does():
    rows = dict.fromkeys("abc")
    scan = TypedScan(MappingSource(rows))
    first = await scan.scan(None, 2)
    rest = await scan.scan(first.cursor, 2)

    assert [*first.keys, *rest.keys] == [TypedKey(key) for key in "abc"]
    assert rest.cursor is None
