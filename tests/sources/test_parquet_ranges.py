"""`ParquetSource`: rows in ranges, between the cuts of a file."""

from __future__ import annotations

from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill.errors import LoadError
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet as pq  # noqa: E402 - only if it is installed

from async_backfill.sources.parquet import ParquetSource  # noqa: E402 - only if it is installed

pytestmark = pytest.mark.anyio

COUNT = 3000
ROWS = {number * 7 % COUNT: f"v{number}" for number in range(COUNT)}


def write(path, groups):
    """Write `ROWS` in row groups of these sizes, from the first on as often as needed."""
    table = pa.table({"id": list(ROWS), "v": list(ROWS.values()), "other": ["x"] * COUNT})
    with pq.ParquetWriter(path, table.schema) as writer:
        at = number = 0
        while at < COUNT:
            size = groups[number % len(groups)]
            writer.write_table(table.slice(at, size))
            at, number = at + size, number + 1
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for many generated ones."""
    return tmp_path_factory.mktemp("scratch") / "file"


async def rows_of(source, after=None, until=None, page=700):
    return [row async for found in source.rows(after=after, until=until, page=page) for row in found.items()]


@given(
    groups=st.lists(st.sampled_from([0, 1, 90, 500, 9000]), min_size=1, max_size=5).filter(
        lambda sizes: sum(sizes) > 80
    ),
    shards=st.sampled_from([1, 2, 7, 16, 5000]),
    page=st.sampled_from([1000, 64, 10_000]),
)
@settings(max_examples=15)
async def test_each_row_is_in_one_shard_whatever_the_row_groups(scratch, groups, shards, page):
    async with ParquetSource(write(scratch, groups), key="id", value="v") as source:
        cuts = [None, *await source.cuts(min(shards, 16)), None]
        found = [await rows_of(source, *ends, page) for ends in pairwise(cuts)]
        finest = await source.cuts(shards)
        sizes = [len(some) async for some in source.rows(page=page)]

    assert [row for shard in found for row in shard] == list(ROWS.items())
    assert max(map(len, found)) <= 1.3 * COUNT / min(shards, 16)
    assert len(finest) == min(shards, COUNT) - 1
    assert set(sizes[:-1]) <= {page}


async def test_a_cut_is_where_a_row_group_begins_if_one_is_near(scratch):
    async with ParquetSource(write(scratch, [760, 740, 10, 1490]), key="id", value="v") as source:
        assert [cut[0] for cut in await source.cuts(4)] == [760, 1500, 2250]


async def test_a_reading_decodes_each_row_group_once(scratch, monkeypatch):
    async with ParquetSource(write(scratch, [1500]), key="id", value="v") as source:
        opened = []
        given_batches = pq.ParquetFile.iter_batches
        monkeypatch.setattr(
            pq.ParquetFile,
            "iter_batches",
            lambda *parts, **how: opened.append(how) or given_batches(*parts, **how),
        )
        assert len(await rows_of(source, page=10)) == COUNT

    assert [(how["batch_size"], how["row_groups"], how["columns"]) for how in opened] == [
        (10, [0, 1], ["id", "v"])
    ]


async def test_a_row_that_cannot_be_made_has_failed_and_no_other(scratch):
    def row(columns):
        return 1 // columns["id"]

    async with ParquetSource(write(scratch, [1000]), key="id", row=row) as source:
        pages = [page async for page in source.rows(page=1000)]

    assert [len(page) for page in pages] == [999, 1000, 1000]
    assert pages[0].failed[0].error.__notes__ == [f"raised by row() for row 1 of {scratch}"]


async def test_an_empty_file_has_one_shard_and_no_page(scratch):
    pq.write_table(pa.table({"id": pa.array([], pa.int64())}), scratch)
    async with ParquetSource(scratch, key="id") as source:
        assert await source.cuts(8) == []
        assert await rows_of(source) == []


async def test_a_file_that_is_replaced_while_it_is_read_hands_out_no_more_rows(scratch):
    async with ParquetSource(write(scratch, [1000]), key="id", value="v", on_change="reindex") as source:
        (cut,) = await source.cuts(2)
        async with aclosing(source.rows(page=100)) as pages:
            await anext(pages)
            other = scratch.with_name("other")
            pq.write_table(pa.table({"id": [1], "v": ["new"]}), other)
            other.replace(scratch)
            with pytest.raises(LoadError, match="changed while its rows were read"):
                await anext(pages)

        assert await rows_of(source) == [(1, "new")]
        with pytest.raises(LoadError, match="made before the file changed"):
            await rows_of(source, until=cut)


async def test_a_damaged_row_group_is_one_clear_error(scratch):
    write(scratch, [1000])
    values = pq.read_metadata(scratch).row_group(1).column(1)
    content = bytearray(scratch.read_bytes())
    begin = values.data_page_offset
    content[begin : begin + 200] = bytes(200)
    scratch.write_bytes(content)
    async with ParquetSource(scratch, key="id", value="v") as source:
        (cut, _) = await source.cuts(3)
        assert len(await rows_of(source, until=cut)) == 1000
        with pytest.raises(LoadError, match="not a readable Parquet file"):
            await rows_of(source, after=cut)
