"""`FileSource`: rows in ranges, between the cuts of a file."""

from __future__ import annotations

import gzip
import json
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest
from anyio import create_task_group, move_on_after
from anyio.lowlevel import checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill.errors import ConfigurationError, LoadError
from async_backfill.sources.file import FileSource
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

COUNT = 5000
# Rows that grow, so that as many bytes are not as many rows.
ROWS = {f"{number:04}": "x" * (number // 20) for number in range(COUNT)}
CSV = "id,v\n" + "".join(f"{key},{value}\n" for key, value in ROWS.items())

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
any_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.fixture(params=["plain", "gzip"])
def path(request, tmp_path):
    content = CSV.encode()
    (tmp_path / "rows").write_bytes(gzip.compress(content) if request.param == "gzip" else content)
    return tmp_path / "rows"


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for a hundred generated contents."""
    return tmp_path_factory.mktemp("scratch") / "file"


async def rows_of(source, after=None, until=None, page=700):
    return [row async for found in source.rows(after=after, until=until, page=page) for row in found.items()]


async def shards_of(source, cuts, page=700):
    return [await rows_of(source, after, until, page) for after, until in pairwise((None, *cuts, None))]


def open_files():
    return len([*Path("/proc/self/fd").iterdir()])


async def test_shards_of_a_file_have_as_many_rows_each(path):
    async with FileSource(path, key="id", value="v") as source:
        shards = await shards_of(source, await source.cuts(16))

    assert [row for shard in shards for row in shard] == list(ROWS.items())
    assert len(shards) == 16
    assert max(map(len, shards)) <= 1.02 * COUNT / 16


async def test_cuts_and_cursors_hold_in_another_process(path):
    async with FileSource(path, key="id", value="v") as source:
        cuts = json.loads(json.dumps(await source.cuts(4)))
        async with aclosing(source.rows(page=3000)) as pages:
            page = await anext(pages)
    async with FileSource(path, key="id", value="v") as source:
        shards = await shards_of(source, cuts)
        rest = await rows_of(source, after=page.cursor)

    assert [row for shard in shards for row in shard] == [*page.items(), *rest] == list(ROWS.items())


@given(
    rows=st.lists(st.tuples(any_key, any_text), max_size=12),
    shards=st.integers(1, 14),
    page=st.integers(1, 5),
    which=st.sampled_from(["first", "last"]),
    end=st.sampled_from(["\n", "\n\n", "\r\n"]),
)
@settings(max_examples=60)
async def test_each_row_that_counts_is_in_one_shard_whatever_the_content(
    scratch, rows, shards, page, which, end
):
    lines = [f'"{key}","{value}"'.replace("\0", "0") for key, value in rows]
    quoted = [line for line in lines if line.count('"') == 4]
    scratch.write_bytes(end.join(["id,v", *quoted]).encode())
    async with FileSource(scratch, key="id", value="v", duplicates=which) as source:
        keys = (await source.scan(None, 100)).keys
        known = dict(await source.load_many(keys)) if keys else {}
        found = await shards_of(source, await source.cuts(shards), page)

    assert [key for shard in found for key, _ in shard] == list(keys)
    assert {key: value for shard in found for key, value in shard} == known
    assert len(found) <= shards


async def test_a_file_without_rows_has_one_shard_and_no_page(tmp_path):
    (tmp_path / "rows").write_text("id,v\n")
    async with FileSource(tmp_path / "rows", key="id") as source:
        assert await source.cuts(8) == []
        assert await rows_of(source) == []


async def test_a_page_of_long_rows_ends_early(tmp_path):
    with (tmp_path / "rows").open("w") as file:
        file.writelines(json.dumps({"id": str(number), "v": "x" * 1_000_000}) + "\n" for number in range(20))
    async with FileSource(tmp_path / "rows", key="id", row=lambda row: len(row["v"])) as source:
        pages = [page async for page in source.rows()]

    assert [len(page) for page in pages] == [17, 3]


async def test_rows_that_do_not_count_make_no_page_of_their_own(tmp_path):
    (tmp_path / "rows").write_text("id,v\n" + "a,1\n" * 3000 + "b,2\n" + "b,3\n" * 3000)
    async with FileSource(tmp_path / "rows", key="id", value="v", duplicates="first") as source:
        assert [page async for page in source.rows(page=1)] == [{"a": "1"}, {"b": "2"}]


async def test_a_row_that_cannot_be_made_has_failed_and_no_other(tmp_path):
    (tmp_path / "rows").write_text("id,v\na,1\nb,none\nc,3\n")
    async with FileSource(tmp_path / "rows", key="id", row=lambda row: int(row["v"])) as source:
        (page,) = [page async for page in source.rows()]

    assert page == {"a": 1, "c": 3}
    assert list(page.failed) == ["b"]
    assert page.failed["b"].error.__notes__ == [
        f"raised by row() for the row at byte 9 of {tmp_path / 'rows'}"
    ]


@pytest.mark.parametrize("on_change", ["refuse", "reindex"])
async def test_rows_of_a_file_that_changes_are_never_those_of_two_files(path, on_change):
    async with FileSource(path, key="id", value="v", on_change=on_change) as source:
        cut = (await source.cuts(2))[0]
        pages = source.rows(page=1000)
        first = await anext(pages)
        path.write_text("id,v\nnew,1\n")

        with pytest.raises(LoadError, match="changed while its rows were read"):
            await anext(pages)
        if on_change == "reindex":
            assert await rows_of(source) == [("new", "1")]
            for ends in ({"after": first.cursor}, {"until": cut}):
                with pytest.raises(LoadError, match="made before the file changed"):
                    await rows_of(source, **ends)
        else:
            with pytest.raises(LoadError, match="changed since it was indexed"):
                await rows_of(source)


async def test_a_file_that_is_indexed_anew_by_others_ends_the_readings_of_the_old(path):
    async with FileSource(path, key="id", value="v", on_change="reindex") as source:
        pages = source.rows(page=1000)
        await anext(pages)
        path.write_text("id,v\nnew,1\n")
        assert await source.load_many(["new"]) == {"new": "1"}

        with pytest.raises(LoadError, match="changed while its rows were read"):
            await anext(pages)


async def test_a_source_that_is_closed_has_no_more_rows(path):
    async with FileSource(path, key="id", value="v") as source:
        pages = source.rows(page=1000)
        await anext(pages)

    with pytest.raises(LoadError, match="not open"):
        await anext(pages)
    with pytest.raises(LoadError, match="not open"):
        await source.cuts(2)


@pytest.mark.parametrize("cursor", ["0001", 7, (1, 2), ("a", 2, 3), (1, 2, 3, 4)])
async def test_what_is_no_cursor_is_refused(path, cursor):
    async with FileSource(path, key="id", value="v") as source:
        for setting in ("after", "until"):
            with pytest.raises(ConfigurationError, match=f"{setting}: must be a cursor"):
                await rows_of(source, **{setting: cursor})


async def test_settings_that_are_not_allowed_are_refused(path):
    async with FileSource(path, key="id", value="v") as source:
        with pytest.raises(ConfigurationError, match="page"):
            await rows_of(source, page=0)
        with pytest.raises(ConfigurationError, match="shards"):
            await source.cuts(0)


async def test_readings_that_are_cancelled_at_any_moment_leave_no_file_open(path):
    async with FileSource(path, key="id", value="v") as source:
        before = open_files()
        for steps in range(12):
            async with create_task_group() as tasks:
                tasks.start_soon(rows_of, source)
                for _ in range(steps):
                    await checkpoint()
                tasks.cancel_scope.cancel()
        with move_on_after(30):
            while open_files() > before:
                await checkpoint()

        assert open_files() == before
        assert await rows_of(source) == list(ROWS.items())


async def test_a_file_that_changes_has_another_schema_and_another_count(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("id,v\na,1\nb,2\n")
    async with FileSource(path, key="id", value="v", on_change="reindex") as source:
        before, count = await source.schema(), await source.count()
        path.write_text("id,v\na,1\nb,2\nc,3\n")
        assert await source.schema() != before
        assert (count, await source.count()) == ((2, "counted"), (3, "counted"))
