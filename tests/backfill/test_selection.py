"""Keys in source order, against a model that looks at the whole source each time."""

from __future__ import annotations

import pytest
from anyio import create_task_group, sleep, wait_all_tasks_blocked
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import ConfigurationError, MappingSource, MemoryStore
from async_backfill.backfill._source_order import SourceOrder
from async_backfill.outcomes import ABSENT
from tests.callers import start

pytestmark = pytest.mark.anyio

KEYS = range(8)


class CountingScan:
    """Pages of ``keys``, and how many pages were asked for, in turn with ``pause`` seconds for each."""

    def __init__(self, keys, pause=0.0):
        self.rows = MappingSource(dict.fromkeys(keys))
        self.pause = pause
        self.pages = 0
        self.starts = 0
        self.listed = 0
        self.at_once = 0
        self.most_at_once = 0

    async def scan(self, cursor, limit):
        self.pages += 1
        self.starts += cursor is None
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await sleep(self.pause)
        self.at_once -= 1
        page = await self.rows.scan(cursor, limit)
        self.listed += len(page.keys)
        return page


class Rig:
    """A selection over a real store, and a set of keys in flight."""

    def __init__(self, keys, *, capacity=None, page_size=1000, pause=0.0):
        self.keys = list(keys)
        self.scan = CountingScan(self.keys, pause)
        self.store = MemoryStore(capacity)
        self.loading = set()
        self.dropped = set()
        self.selected = 0
        self.selection = SourceOrder(
            self.scan,
            is_cached=self.is_cached,
            is_loading=self.loading.__contains__,
            removals=lambda: self.store.removals,
            page_size=page_size,
        )

    def is_cached(self, key):
        return self.store.peek(key, ABSENT) is not ABSENT

    def expected(self):
        return [
            key
            for key in self.keys
            if not self.is_cached(key) and key not in self.loading and key not in self.dropped
        ]

    async def select(self, limit):
        starts = self.scan.starts
        found = list(await self.selection.select(limit))
        if self.scan.starts > starts:
            self.dropped.clear()
        self.selected += len(found)
        return found, self.expected()[:limit]


some_keys = st.sets(st.sampled_from(KEYS), min_size=1)
limits = st.integers(1, 5)
steps = st.lists(
    st.tuples(st.sampled_from(["cache", "remove", "load", "land"]), some_keys)
    | st.tuples(st.sampled_from(["select", "select and drop"]), limits),
    min_size=2,
    max_size=25,
)


@settings(deadline=None, max_examples=80)
@given(
    keys=st.permutations(KEYS) | st.lists(st.sampled_from(KEYS), unique=True),
    page_size=st.integers(1, 3) | st.integers(4, 10),
    capacity=st.none() | st.integers(1, 8),
    story=steps,
)
async def test_a_selection_is_what_looking_at_the_whole_source_would_find(keys, page_size, capacity, story):
    rig = Rig(keys, capacity=capacity, page_size=page_size)
    for step, what in story:
        match step:
            case "cache":
                rig.store.set_many(dict.fromkeys(what))
            case "remove":
                rig.store.delete_many(what)
            case "load":
                rig.loading |= what
            case "land":
                rig.loading -= what
            case _:
                outlook = rig.selection.outlook()
                found, expected = await rig.select(what)
                assert found == expected
                assert outlook in {None, bool(expected)}
                assert rig.scan.listed <= len(rig.keys) + 2 * rig.selected
                if step == "select and drop":
                    rig.selection.drop(found[::2])
                    rig.dropped.update(found[::2])


async def test_the_first_keys_of_the_source_that_are_not_cached_are_selected():
    rig = Rig("abcdef", page_size=2)
    rig.store.set_many({"a": 1, "c": 1})

    assert await rig.selection.select(3) == ["b", "d", "e"]


async def test_keys_in_flight_are_passed_over_in_favour_of_the_next_ones():
    rig = Rig("abcdef", page_size=3)
    rig.loading |= set("abc")

    assert await rig.selection.select(2) == ["d", "e"]


async def test_an_empty_source_is_scanned_once_and_then_known_to_be_empty():
    rig = Rig("")

    assert rig.selection.outlook() is None
    assert list(await rig.selection.select(5)) == []
    assert [rig.selection.outlook() for _ in range(3)] == [False] * 3
    assert rig.scan.pages == 1


async def test_no_more_pages_are_read_than_a_selection_needs():
    rig = Rig(range(1000), page_size=10)
    await rig.selection.select(25)
    assert rig.scan.pages == 3
    await rig.selection.select(30)

    assert rig.scan.pages == 3


async def test_what_was_scanned_is_not_scanned_again_as_long_as_nothing_leaves_the_cache():
    rig = Rig(range(1000), page_size=10)
    for _ in range(100):
        rig.store.set_many(dict.fromkeys(await rig.selection.select(10)))

    assert len(rig.store) == 1000
    assert rig.scan.pages <= 101
    assert list(await rig.selection.select(10)) == []
    assert rig.selection.outlook() is False


async def test_what_left_the_cache_is_selected_again_at_its_place_in_the_source():
    rig = Rig("abcdef")
    rig.store.set_many(dict.fromkeys("abcdef"))
    assert list(await rig.selection.select(6)) == []
    rig.store.delete_many(("e", "b"))

    assert rig.selection.outlook() is True
    assert await rig.selection.select(6) == ["b", "e"]
    assert rig.scan.pages == 1


async def test_a_dropped_key_is_not_selected_until_the_scan_wraps_around():
    rig = Rig("abc")
    rig.store.set_many({"c": 1})
    rig.selection.drop(await rig.selection.select(1))
    assert await rig.selection.select(3) == ["b"]
    rig.store.delete_many("c")
    assert await rig.selection.select(1) == ["b"]
    rig.store.set_many({"b": 1, "c": 1})
    assert (rig.selection.outlook(), await rig.selection.select(3)) == (False, [])
    await sleep(60.0)

    assert await rig.selection.select(3) == ["a"]


async def test_after_removals_what_was_listed_is_not_listed_again():
    rig = Rig(range(20_000))
    while keys := await rig.selection.select(500):
        rig.store.set_many(dict.fromkeys(keys))
    listed = rig.scan.listed
    for number in range(200):
        rig.store.delete_many((number * 97,))
        assert await rig.selection.select(10) == [number * 97]
        rig.store.set_many({number * 97: 1})

    assert rig.scan.listed - listed <= 2 * 200
    assert listed <= 2 * 20_000


async def test_a_key_that_was_added_before_the_cursor_is_found_once_the_scan_wraps_around():
    rows = dict.fromkeys(range(10, 20))
    rig = Rig(rows)
    rig.store.set_many(dict.fromkeys(await rig.selection.select(10)))
    rig.scan.rows = MappingSource(dict.fromkeys([5, *rows]))

    assert rig.selection.outlook() is False
    await sleep(60.0)
    assert rig.selection.outlook() is None
    assert await rig.selection.select(10) == [5]
    assert rig.selection.outlook() is True


async def test_keys_that_the_source_lists_and_does_not_have_do_not_make_it_list_again():
    rig = Rig(range(100))
    while keys := await rig.selection.select(10):
        rig.selection.drop(keys)

    assert (rig.scan.starts, rig.selection.outlook()) == (1, False)


async def test_a_few_keys_are_listed_for_a_few_keys_and_more_where_all_are_cached():
    rig = Rig(range(10_000))
    await rig.selection.select(10)
    assert rig.scan.listed == 100
    rig.store.set_many(dict.fromkeys(range(9000)))
    await rig.selection.select(10)

    assert rig.scan.pages < 20


async def test_a_selection_among_many_listed_keys_lets_others_run():
    rig = Rig(range(20_000))
    rig.store.set_many(dict.fromkeys(range(20_000)))
    await rig.selection.select(1)
    rig.store.delete_many((19_999,))
    turns = 0

    async def count():
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with create_task_group() as tasks:
        tasks.start_soon(count)
        assert rig.selection.outlook() is None
        assert await rig.selection.select(1) == [19_999]
        tasks.cancel_scope.cancel()

    assert turns >= 10


async def test_dropping_what_was_never_selected_changes_nothing():
    rig = Rig("abc")
    await rig.selection.select(3)
    rig.selection.drop(["x", "y"])

    assert await rig.selection.select(3) == ["a", "b", "c"]


async def test_nothing_is_left_while_all_that_is_missing_is_in_flight():
    rig = Rig("ab")
    await rig.selection.select(2)
    rig.loading |= {"a", "b"}
    assert rig.selection.outlook() is False
    rig.loading.clear()

    assert rig.selection.outlook() is True


async def test_selections_at_the_same_time_scan_one_after_the_other():
    rig = Rig(range(30), page_size=10, pause=1.0)
    async with create_task_group() as tasks:
        callers = [start(tasks, rig.selection.select, 15) for _ in range(3)]

    assert [caller.outcome for caller in callers] == [list(range(15))] * 3
    assert (rig.scan.pages, rig.scan.most_at_once) == (2, 1)


async def test_what_is_cached_or_asked_for_while_the_scan_goes_on_is_not_selected():
    rig = Rig("abcdef", page_size=3, pause=1.0)
    async with create_task_group() as tasks:
        caller = start(tasks, rig.selection.select, 6)
        await sleep(1.5)
        assert rig.scan.pages == 2
        rig.store.set_many({"a": 1, "d": 1})
        rig.loading |= {"b", "e"}

    assert caller.outcome == ["c", "f"]


async def test_a_cancelled_selection_does_not_block_the_next_one():
    rig = Rig("abc", pause=1.0)
    async with create_task_group() as tasks:
        caller = start(tasks, rig.selection.select, 3)
        await wait_all_tasks_blocked()
        caller.cancel()

    assert await rig.selection.select(3) == ["a", "b", "c"]


async def test_a_scan_that_fails_is_taken_up_again_where_it_failed():
    rig = Rig("abcdef", page_size=2)
    await rig.selection.select(2)
    rows, rig.scan.rows = rig.scan.rows, None
    with pytest.raises(AttributeError):
        await rig.selection.select(4)
    rig.scan.rows = rows

    assert await rig.selection.select(6) == list("abcdef")
    assert rig.scan.pages == 4


@pytest.mark.parametrize("page_size", [0, -1, True, 1.0, "1", None])
def test_a_page_size_that_is_no_whole_number_of_one_or_more_is_refused(page_size):
    with pytest.raises(ConfigurationError) as refused:
        Rig("abc", page_size=page_size)

    assert refused.value.setting == "page_size"
