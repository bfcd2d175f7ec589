"""Keys, errors and observers whose own code misbehaves: they fail their own call, never the cache."""

from __future__ import annotations

import logging
from itertools import count

import pytest
from anyio import sleep

from async_backfill import BackfillCache, FreshnessPolicy, LoadError
from async_backfill.records import Status
from tests.callers import outcomes

pytestmark = pytest.mark.anyio


class Changing:
    """A key whose hash is another one each time."""

    hashes = count()

    def __hash__(self):
        return next(self.hashes)


class NoHash:
    def __hash__(self):
        raise ValueError("no hash")


class NoTextError(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class NoName:
    """A key without a ``repr``."""

    def __repr__(self):
        raise RuntimeError("no name")


class Source:
    error = None

    async def load_many(self, keys):
        await sleep(1)
        if self.error is not None:
            raise self.error
        return dict.fromkeys(keys, "value")

    async def scan(self, cursor, limit):
        raise NoTextError(cursor, limit)


SETTINGS = pytest.mark.parametrize(
    "settings", [{}, {"capacity": 5}, {"capacity": 5, "freshness": FreshnessPolicy(ttl=9.0, absent_ttl=9.0)}]
)


async def works_on(cache):
    assert await cache.get("good") == "value"
    await cache.settle()
    assert cache.stats.in_flight == 0


USES = {
    "get": lambda cache, key: cache.get(key),
    "refresh": lambda cache, key: cache.refresh(key),
    "put": lambda cache, key: cache.put(key, "put"),
    "invalidate": lambda cache, key: cache.invalidate(key),
}


@SETTINGS
async def test_keys_whose_hash_changes_fail_their_own_call_and_leave_no_lock(settings):
    async with BackfillCache(Source(), **settings) as cache:

        async def lookup(key):
            try:
                return await cache.get(key)
            except LoadError as error:
                return error

        ended = await outcomes(lookup, *[(Changing(),) for _ in range(50)], ("beside",))
        assert [error for error in ended[:-1] if not isinstance(error, LoadError)] == []
        assert any("its hash or its == has changed" in str(error) for error in ended)
        assert ended[-1] == "value"

        with pytest.raises(LoadError):
            await cache.get_many([Changing() for _ in range(50)])
        await works_on(cache)


@pytest.mark.parametrize("use", USES)
async def test_a_hash_that_raises_fails_its_own_call(use):
    async with BackfillCache(Source()) as cache:
        with pytest.raises(ValueError, match="no hash"):
            await USES[use](cache, NoHash())
        with pytest.raises(ValueError, match="no hash"):
            await cache.get_many(["a", NoHash()])
        await works_on(cache)


async def test_an_error_of_a_scan_whose_text_raises_fails_the_backfill_alone():
    source = Source()
    async with BackfillCache(source, scan=source) as cache:
        record = await cache.force_backfill()
        assert (record.status, record.error) == (Status.FAILED, "NoTextError (its text raises RuntimeError)")
        await works_on(cache)


async def test_an_error_of_a_load_whose_text_raises_reaches_its_caller():
    source = Source()
    async with BackfillCache(source) as cache:
        source.error = NoTextError()
        with pytest.raises(LoadError, match=r"NoTextError \(its text raises RuntimeError\)"):
            await cache.get("a")
        source.error = None
        await works_on(cache)


async def test_a_key_without_a_text_is_told_by_its_type():
    source = Source()
    async with BackfillCache(source) as cache:
        source.error = OSError("down")
        with pytest.raises(LoadError, match=r"loading a NoName \(its repr raises .* failed: OSError: down"):
            await cache.get(NoName())
        source.error = None
        await works_on(cache)


async def test_what_an_observer_raises_is_logged_also_if_it_is_no_exception(caplog):
    class Odd(BaseException):
        pass

    def observer(_):
        raise Odd

    with caplog.at_level(logging.CRITICAL, "async_backfill"):
        async with BackfillCache(Source(), observers=[observer], capacity=1) as cache:
            assert await cache.get_many("abc") == dict.fromkeys("abc", "value")
            await works_on(cache)


class Armed:
    """A key whose hash or ``==`` raises from the ``left``-th time on."""

    def __init__(self, what, left):
        self.what, self.left = what, left

    def _called(self, what):
        self.left -= what == self.what
        if self.left < 0:
            raise ValueError(what)

    def __hash__(self):
        self._called("hash")
        return 7

    def __eq__(self, other):
        self._called("eq")
        return self is other


@pytest.mark.parametrize("what", ["hash", "eq"])
@pytest.mark.parametrize("use", USES)
async def test_a_hash_or_an_eq_that_raises_at_any_moment_never_ends_the_cache(what, use):
    async def call(cache, key):
        try:
            await USES[use](cache, key)
        except (LoadError, ValueError) as error:
            return error

    for left in range(14):
        async with BackfillCache(Source(), capacity=20) as cache:
            await outcomes(lambda key: call(cache, key), *[(Armed(what, left),) for _ in range(2)])
            await works_on(cache)
