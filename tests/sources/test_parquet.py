"""`ParquetSource`: rows by key, pages, damaged files, and files that change."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache
from async_backfill.contracts import Page
from async_backfill.errors import ConfigurationError, LoadError, ScenarioError
from async_backfill.outcomes import Failed
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pa = pytest.importorskip("pyarrow")
from pyarrow import parquet as pq  # noqa: E402 - only if it is installed

from async_backfill.sources.parquet import ParquetSource  # noqa: E402 - only if it is installed

pytestmark = pytest.mark.anyio

COUNT = 30_000
UUID = "12345678-1234-5678-1234-56781234567a"
NUMBERS = [f"{number:05d}" for number in range(COUNT)]

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
any_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@pytest.fixture
def written(tmp_path):
    """Write columns as Parquet and return its path."""

    def write(columns, name="rows", **how):
        path = tmp_path / name
        pq.write_table(pa.table(columns), path, **how)
        return str(path)

    return write


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for a hundred generated contents."""
    return tmp_path_factory.mktemp("scratch") / "file"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A file of several row groups, one of them larger than what is read at once."""
    path = tmp_path_factory.mktemp("large") / "rows"
    table = pa.table({"id": NUMBERS, "v": range(COUNT), "other": ["x"] * COUNT})
    with pq.ParquetWriter(path, table.schema) as writer:
        for start, end in [(0, 100), (100, 100), (100, 20_100), (20_100, COUNT)]:
            writer.write_table(table.slice(start, end - start))
    return path


async def keys_of(source, limit):
    cursor, keys = None, []
    while True:
        page = await source.scan(cursor, limit)
        assert len(page.keys) <= limit
        keys.extend(page.keys)
        cursor = page.cursor
        if cursor is None:
            return keys


def content_of(path) -> bytes:
    return Path(path).read_bytes()


async def refusal(path, **settings) -> str:
    settings.setdefault("key", "id")
    with pytest.raises(ScenarioError) as refused:
        await ParquetSource(path, **settings).open()
    message = str(refused.value)
    assert message.startswith(f"{path}:")
    assert message.isprintable()
    return message.removeprefix(f"{path}:").strip()


@settings(max_examples=40)
@given(
    rows=st.dictionaries(any_key, st.none() | st.lists(any_text, max_size=3), max_size=12),
    group=st.integers(1, 5),
    limit=st.integers(1, 5),
    codec=st.sampled_from(["none", "gzip", "zstd", "snappy"]),
)
async def test_what_was_written_comes_back(scratch, rows, group, limit, codec):
    table = pa.table({"v": pa.array(rows.values(), pa.list_(pa.string())), "k": pa.array(rows, pa.string())})
    pq.write_table(table, scratch, row_group_size=group, compression=codec)
    async with ParquetSource(scratch, key="k") as source:
        assert len(source) == len(rows)
        assert await keys_of(source, limit) == list(rows)
        assert await source.load_many([*rows, "nobody is this"]) == {k: {"v": v} for k, v in rows.items()}


async def test_rows_are_found_in_any_group_and_place(large):
    asked = [29_999, 0, 99, 100, 8_291, 8_292, 8_293, 20_099, 20_100, 25_000]
    async with ParquetSource(large, key="id", value="v") as source:
        assert await source.load_many([NUMBERS[row] for row in asked]) == {NUMBERS[row]: row for row in asked}
        for row in asked:
            assert await source.load_many([NUMBERS[row]]) == {NUMBERS[row]: row}
        assert await source.load_many(["nobody"]) == {}


@pytest.mark.parametrize("limit", [77, 8192, 10_000, 100_000])
async def test_pages_of_any_size_list_every_key_once(large, limit):
    async with ParquetSource(large, key="id") as source:
        assert await keys_of(source, limit) == NUMBERS


async def test_keys_may_be_whole_numbers_and_values_are_those_of_python(written):
    day = dt.date(2026, 11, 23)
    path = written({"id": pa.array([3, -1], pa.int32()), "day": [day, None], "raw": [b"\0", b""]})
    async with ParquetSource(path, key="id", key_type=int) as source:
        assert await source.load_many([-1, "3", 3]) == {
            3: {"day": day, "raw": b"\0"},
            -1: {"day": None, "raw": b""},
        }


async def test_what_the_function_raises_is_the_failure_of_that_key_alone(written):
    path = written({"id": ["a", "b"], "n": [2, 0]})
    async with ParquetSource(path, key="id", row=lambda row: (row["id"], 1 / row["n"])) as source:
        answer = await source.load_many(["a", "b"])
    assert answer["a"] == ("a", 0.5)
    assert isinstance(answer["b"], Failed)
    assert answer["b"].error.__notes__ == [f"raised by row() for row 2 of {path}"]


async def test_a_file_without_rows_is_one_empty_page(written):
    async with ParquetSource(written({"id": pa.array([], pa.string())}), key="id") as source:
        assert await source.scan(None, 10) == Page((), None)
        assert await source.load_many(["a"]) == {}


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"key": ["a"]}, '1: no column "id", the nearest is "key"'),
        ({"id": ["a", "b", "a"]}, 'row 3: the key "a" appears twice, first in row 1'),
        ({"id": ["a", None]}, 'row 2: "id" is null, expected a key that is text'),
        ({"id": ["a", ""]}, 'row 2: "id" is "", expected a key that is text'),
        ({"id": [1.5]}, 'row 1: "id" is 1.5, expected a key that is text'),
        ({"id": [b"a"]}, 'row 1: "id" is "b\'a\'", expected a key that is text'),
    ],
)
async def test_a_file_that_cannot_be_used_is_refused(written, columns, problem):
    assert await refusal(written(columns)) == problem


@pytest.mark.parametrize(
    ("keys", "kind", "key"),
    [
        ([UUID, UUID.upper().replace("-", "")], uuid.UUID, UUID),
        (["2026-03-01"] * 2, dt.date, "2026-03-01"),
        ([dt.date(2026, 3, 1)] * 2, None, "2026-03-01"),
        (["1.5", "1.50"], Decimal, "1.50"),
        ([0.1, 0.1], Decimal, "0.1"),
        ([Decimal("1.5")] * 2, None, "1.5"),
    ],
)
async def test_a_key_that_repeats_is_refused_whatever_its_type(written, keys, kind, key):
    refused = await refusal(written({"id": keys}), key_type=kind)
    assert refused == f'row 2: the key "{key}" appears twice, first in row 1'


async def test_what_is_no_parquet_is_refused(tmp_path, written):
    path = tmp_path / "other"
    whole = content_of(written({"id": ["a"]}))
    for content in [b"", b"id,v\n", whole[:-1], whole[:-20], whole[: len(whole) // 2], b"PAR1" * 5]:
        path.write_bytes(content)
        assert (await refusal(path)).startswith("not a readable Parquet file: ")
    assert await refusal(str(tmp_path / "gone")) == "cannot be read: no such file or directory"


async def test_damaged_pages_are_refused(tmp_path, written):
    whole = bytearray(content_of(written({"id": NUMBERS}, compression="gzip")))
    whole[200:1200] = bytes(1000)
    path = tmp_path / "damaged"
    path.write_bytes(whole)
    assert (await refusal(path)).startswith("not a readable Parquet file: ")


async def test_a_load_of_damaged_pages_is_an_error_that_says_so(tmp_path, written):
    whole = bytearray(content_of(written({"id": ["a"], "v": ["".join(NUMBERS)]}, compression="gzip")))
    middle = len(whole) // 2
    whole[middle : middle + 1000] = bytes(1000)
    path = tmp_path / "damaged"
    path.write_bytes(whole)
    async with ParquetSource(path, key="id") as source:
        with pytest.raises(LoadError) as refused:
            await source.load_many(["a"])
    assert str(refused.value).startswith(f"{path}: not a readable Parquet file: ")
    assert "\n" not in str(refused.value)


async def test_a_row_group_larger_than_allowed_is_refused(large):
    problem = await refusal(large, max_group=10_000)
    assert problem.startswith("row group 3 has ")
    assert problem.endswith(" bytes, more than max_group=10000")


def test_a_setting_that_is_wrong_is_refused():
    with pytest.raises(ConfigurationError, match="max_group: 0 is less than 1"):
        ParquetSource("rows", key="id", max_group=0)


async def test_a_file_that_changed_is_refused_or_indexed_again(written):
    path = written({"id": ["a"], "v": [1]})
    async with (
        ParquetSource(path, key="id", value="v") as refusing,
        ParquetSource(path, key="id", value="v", on_change="reindex") as indexing,
    ):
        written({"id": ["b", "a"], "v": [20, 30]})
        with pytest.raises(LoadError, match="changed since it was indexed"):
            await refusing.load_many(["a"])
        assert await indexing.load_many(["a", "b"]) == {"a": 30, "b": 20}


async def test_a_cache_reads_through_it_and_is_filled_by_a_scan_of_it(large):
    async with (
        ParquetSource(large, key="id", value="v") as source,
        BackfillCache(source, scan=source, backfill_batch=40) as cache,
    ):
        assert await cache.get(NUMBERS[-1]) == COUNT - 1
        assert await cache.get("nobody") is None
        await cache.force_backfill()
        assert [cache.peek(key) for key in NUMBERS[:40]] == list(range(40))
