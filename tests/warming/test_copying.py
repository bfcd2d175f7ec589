"""Copying pages into a store: all of it, page after page, and an exact account when it stops."""

from __future__ import annotations

import gc
import weakref
from functools import partial

import anyio
import pytest
from anyio import CancelScope, current_time, move_on_after, sleep, sleep_forever
from hypothesis import given
from hypothesis import strategies as st

from async_backfill import ConfigurationError, warming
from async_backfill.warming import CopyError, CopyProgress
from tests.callers import leaked_cancellation
from tests.warming.shelf import Shelf, page, pages_of

pytestmark = pytest.mark.anyio

copy_rows = partial(warming.copy_rows, write_timeout=1e6, read_timeout=None, attempts=1)


def written(copied):
    """How many rows of how many pages a copy has written, and through which key without a gap."""
    return copied.kept, copied.pages, copied.through


async def test_all_rows_of_all_pages_are_written_with_the_ttl():
    shelf = Shelf()

    copied = await copy_rows(pages_of(5), shelf, ttl=30, ttl_jitter=0.0)

    assert shelf.rows == {key: value for number in range(5) for key, value in page(number).items()}
    assert sorted(shelf.writes) == [(list(page(number)), 30.0) for number in range(5)]
    assert written(copied) == (10, 5, "4.1")


async def test_nothing_to_copy_is_no_write():
    shelf = Shelf()

    assert written(await copy_rows(pages_of(0), shelf)) == (0, 0, None)
    assert shelf.writes == []


async def test_an_empty_page_is_not_written_and_not_the_end():
    async def pages():
        yield {}
        yield {"a": 1}
        yield {}
        yield {"b": 2}

    shelf = Shelf()

    assert written(await copy_rows(pages(), shelf)) == (2, 2, "b")
    assert shelf.writes == [(["a"], None), (["b"], None)]


async def test_pages_are_read_while_earlier_ones_are_written():
    shelf = Shelf(lambda _: sleep(10))
    began = current_time()

    await copy_rows(pages_of(12, seconds=10), shelf, writers=1, ahead=1)

    assert current_time() - began == pytest.approx(130)


async def test_as_many_pages_as_there_are_writers_are_written_at_once():
    shelf = Shelf(lambda _: sleep(10))
    began = current_time()

    await copy_rows(pages_of(12), shelf, writers=3)

    assert shelf.most_under_way == 3
    assert current_time() - began == pytest.approx(40)


@pytest.mark.parametrize(("writers", "ahead"), [(1, 1), (1, 3), (4, 1), (3, 5)])
async def test_no_more_pages_are_read_than_may_be_in_memory(writers, ahead):
    read = []

    async def pages():
        for number in range(50):
            read.append(number)
            yield page(number)

    with move_on_after(100):
        await copy_rows(pages(), Shelf(lambda _: sleep_forever()), writers=writers, ahead=ahead)

    assert len(read) == writers + ahead


async def test_pages_that_are_written_are_let_go():
    class Rows(dict):
        pass

    most, alive = 0, []

    async def pages():
        nonlocal most
        for number in range(30):
            most = max(most, sum(one() is not None for one in alive))
            rows = Rows(page(number))
            alive.append(weakref.ref(rows))
            yield rows
            del rows

    await copy_rows(pages(), Shelf(lambda _: sleep(1)), writers=2, ahead=2)

    assert 0 < most <= 4


async def test_a_store_that_fails_stops_the_copy_and_the_error_says_what_was_written():
    async def before(items):
        await sleep(10)
        if "3.0" in items:
            raise ConnectionError("gone")

    shelf = Shelf(before)
    with pytest.raises(CopyError) as caught:
        await copy_rows(pages_of(100), shelf, writers=1)

    assert written(caught.value.copied) == (6, 3, "2.1")
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert str(caught.value) == (
        "a page could not be written: ConnectionError: gone; 6 of 6 rows were kept, all is done through '2.1'"
    )
    assert list(shelf.rows) == [key for number in range(3) for key in page(number)]


async def test_after_a_failure_the_writes_under_way_are_finished_and_none_is_begun():
    async def before(items):
        if "1.0" in items:
            raise ConnectionError("gone")
        await sleep(10)

    shelf = Shelf(before)
    with pytest.raises(CopyError) as caught:
        await copy_rows(pages_of(100, seconds=1), shelf, writers=3)

    assert written(caught.value.copied) == (2, 1, "0.1")
    assert shelf.rows == page(0)
    assert shelf.under_way == 0


async def test_what_was_written_beyond_a_page_that_failed_is_counted_but_not_through():
    async def before(items):
        if "0.0" in items:
            await sleep(10)
            raise ConnectionError("gone")

    with pytest.raises(CopyError) as caught:
        await copy_rows(pages_of(3), Shelf(before), writers=2)

    assert written(caught.value.copied) == (4, 2, None)
    assert str(caught.value).endswith("; 4 of 4 rows were kept")


async def test_a_source_that_fails_stops_the_copy_after_what_is_being_written():
    async def pages():
        yield page(0)
        await sleep(1)
        raise ValueError("cut off")

    with pytest.raises(
        CopyError, match=r"^a page could not be read: ValueError: cut off; 2 of 2 rows"
    ) as caught:
        await copy_rows(pages(), Shelf(lambda _: sleep(10)))

    assert written(caught.value.copied) == (2, 1, "0.1")
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_source_that_waits_is_not_waited_for_once_a_write_failed():
    async def pages():
        yield page(0)
        await sleep_forever()

    async def before(_):
        await sleep(5)
        raise ConnectionError("gone")

    began = current_time()
    with pytest.raises(CopyError):
        await copy_rows(pages(), Shelf(before))

    assert current_time() == began + 10


async def test_a_write_that_cancels_itself_is_an_error_and_no_row_is_lost_unnoticed():
    leaked = await leaked_cancellation()

    async def before(items):
        if "1.0" in items:
            raise leaked

    with pytest.raises(CopyError) as caught:
        await copy_rows(pages_of(3), Shelf(before), writers=1)

    assert caught.value.__cause__ is leaked
    assert written(caught.value.copied) == (2, 1, "0.1")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
async def test_what_ends_the_process_is_raised_as_it_is(error):
    async def before(_):
        raise error

    with pytest.raises(type(error)) as caught:
        await copy_rows(pages_of(3), Shelf(before))

    assert caught.value is error


async def test_progress_is_told_after_each_page():
    told = []

    copied = await copy_rows(pages_of(3), Shelf(), progress=told.append)

    assert [one.kept for one in told] == [2, 4, 6]
    assert written(told[-1]) == written(copied)


async def test_an_error_of_progress_stops_the_copy_and_the_page_counts():
    def progress(_):
        raise RuntimeError("no terminal")

    with pytest.raises(CopyError) as caught:
        await copy_rows(pages_of(3), Shelf(), writers=1, progress=progress)

    assert isinstance(caught.value.__cause__, RuntimeError)
    assert written(caught.value.copied) == (2, 1, "0.1")


async def test_a_cancelled_copy_stops_at_once_and_progress_was_told_what_is_written():
    told = []
    shelf = Shelf(lambda items: sleep(10 if "0.0" in items else 100))
    began = current_time()
    with CancelScope(deadline=began + 15) as scope:
        await copy_rows(pages_of(100), shelf, writers=2, progress=told.append)

    assert scope.cancelled_caught
    assert current_time() == began + 15
    assert told == [CopyProgress(read=2, kept=2, pages=1, through="0.1")]
    assert (shelf.rows, shelf.under_way) == (page(0), 0)


async def test_a_copy_that_is_cancelled_before_it_begins_leaves_nothing_open():
    with CancelScope() as scope:
        scope.cancel()
        await copy_rows(pages_of(3), Shelf())
    gc.collect()

    assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"ttl": 0}, "ttl: 0.0 is not above 0"),
        ({"ttl": float("nan")}, "ttl: nan"),
        ({"writers": 0}, "writers: 0 is less than 1"),
        ({"ahead": 0}, "ahead: 0 is less than 1"),
        ({"ahead": 1.5}, "ahead: 1.5 is not a whole number"),
    ],
)
async def test_a_setting_outside_of_what_is_allowed_is_refused_and_nothing_is_read(settings, problem):
    read = pages_of(1)
    with pytest.raises(ConfigurationError, match=f"^{problem}"):
        await copy_rows(read, Shelf(), **settings)

    assert [one async for one in read] == [page(0)]


@pytest.mark.parametrize("writers", [1, 3])
async def test_a_generator_of_pages_is_closed_whatever_ends_the_copy(writers):
    closed = []

    async def pages():
        try:
            for number in range(50):
                yield page(number)
        finally:
            closed.append(number)

    async def fail(_):
        raise ConnectionError("gone")

    await copy_rows(pages(), Shelf(), writers=writers)
    with pytest.raises(CopyError):
        await copy_rows(pages(), Shelf(fail), writers=writers)
    with move_on_after(1):
        await copy_rows(pages(), Shelf(lambda _: sleep_forever()), writers=writers)

    assert len(closed) == 3


async def test_pages_need_be_no_generator():
    class Two:
        def __init__(self):
            self.left = [page(1), page(0)]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            return self.left.pop()

    assert written(await copy_rows(Two(), Shelf())) == (4, 2, "1.1")


@given(
    delays=st.lists(st.integers(0, 5), max_size=12),
    failing=st.none() | st.integers(0, 12),
    writers=st.integers(1, 4),
    ahead=st.integers(1, 4),
)
async def test_all_rows_through_the_key_it_names_are_in_the_store(delays, failing, writers, ahead):
    async def before(items):
        number = next(iter(items.values()))
        await sleep(delays[number])
        if number == failing:
            raise ConnectionError("gone")

    shelf = Shelf(before)
    try:
        copied = await copy_rows(pages_of(len(delays)), shelf, writers=writers, ahead=ahead)
    except CopyError as error:
        assert failing is not None
        assert failing < len(delays)
        copied = error.copied
    else:
        assert copied.pages == len(delays)
    named = -1 if copied.through is None else int(copied.through.partition(".")[0])

    assert copied.kept == len(shelf.rows)
    assert {key for number in range(named + 1) for key in page(number)} <= shelf.rows.keys()
    assert f"{named + 1}.0" not in shelf.rows


async def test_two_copies_at_once_do_not_meet():
    shelves = Shelf(lambda _: sleep(1)), Shelf(lambda _: sleep(2))
    async with anyio.create_task_group() as tasks:
        for shelf in shelves:
            tasks.start_soon(copy_rows, pages_of(6), shelf)

    assert [len(shelf.rows) for shelf in shelves] == [12, 12]
