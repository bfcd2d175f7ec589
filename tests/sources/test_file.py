"""`FileSource`: rows by key, damaged files, and files that change."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import json
import os
import random
import tracemalloc
from pathlib import Path

import pytest
from anyio import create_task_group, move_on_after, to_thread
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill import BackfillCache
from async_backfill.contracts import Page
from async_backfill.errors import ConfigurationError, LoadError, ScenarioError
from async_backfill.outcomes import Failed
from async_backfill.sources.file import FileSource
from tests.real_time import anyio_backend  # noqa: F401 - a fixture

KEEPS_ONE = ': duplicates = "first" or "last" keeps one'
pytestmark = pytest.mark.anyio

ROWS = 'id,name,note\r\na,Widget A,"two\r\nlines, ""quoted"""\r\n\r\nb,,é\u2028\x85\r\nc,last,'
TABLE = {
    "a": {"name": "Widget A", "note": 'two\r\nlines, "quoted"'},
    "b": {"name": "", "note": "é\u2028\x85"},
    "c": {"name": "last", "note": ""},
}
JSON_ROWS = '{"id": "a", "n": 1}\n\n{"n": null, "id": "b"}\n{"id": "c", "n": "\u2028\\n"}'
JSON_TABLE = {"a": {"n": 1}, "b": {"n": None}, "c": {"n": "\u2028\n"}}

# What is in a file is read the same way on each backend, and worker threads make an example slow.
one_backend = pytest.mark.parametrize("anyio_backend", ["asyncio"])

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
any_key = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture
def written(tmp_path):
    """Write content to a file and return its path."""

    def write(content: str | bytes, name: str = "rows") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for a hundred generated contents."""
    return tmp_path_factory.mktemp("scratch") / "file"


async def pages_of(source, limit):
    cursor, pages = None, []
    while True:
        page = await source.scan(cursor, limit)
        pages.append(list(page.keys))
        cursor = page.cursor
        if cursor is None:
            return pages


async def everything(source, limit=2):
    keys = [key for page in await pages_of(source, limit) for key in page]
    answer = await source.load_many(keys[::-1]) if keys else {}
    return {key: answer[key] for key in keys}


async def refusal(path, **settings) -> str:
    """Why the file at ``path`` is not opened: the message without the name it begins with."""
    settings.setdefault("key", "id")
    with pytest.raises(ScenarioError) as refused:
        await FileSource(path, **settings).open()
    message = str(refused.value)
    assert message.startswith(f"{path}:")
    assert message.isprintable()
    return message.removeprefix(f"{path}:").strip()


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["no mark", "byte order mark"])
@pytest.mark.parametrize(("rows", "table"), [(ROWS, TABLE), (JSON_ROWS, JSON_TABLE)], ids=["CSV", "JSON"])
async def test_each_key_is_answered_with_its_other_columns(written, pack, mark, rows, table):
    async with FileSource(written(pack(mark + rows.encode())), key="id") as source:
        assert await source.load_many(("c", "nobody", "a")) == {"a": table["a"], "c": table["c"]}
        assert await everything(source) == table
        assert len(source) == 3


async def test_gzip_of_several_members_is_one_file(written):
    packed = b"".join(gzip.compress(part.encode()) for part in ROWS.partition("lines"))
    async with FileSource(written(packed), key="id") as source:
        assert await everything(source) == TABLE


async def test_one_column_or_what_a_function_makes_may_be_the_value(written):
    path = written(ROWS)
    async with FileSource(path, key="id", value="name") as source:
        assert await everything(source) == {"a": "Widget A", "b": "", "c": "last"}
    async with FileSource(path, key="id", value="id") as source:
        assert await everything(source) == {"a": "a", "b": "b", "c": "c"}
    async with FileSource(path, key="id", row=lambda row: row["id"] + row["name"]) as source:
        assert await everything(source) == {"a": "aWidget A", "b": "b", "c": "clast"}


async def test_what_the_function_raises_is_the_failure_of_that_key_alone(written):
    async with FileSource(written(ROWS), key="id", row=lambda row: 1 / len(row["name"])) as source:
        answer = await source.load_many(["a", "b", "c"])
    assert (answer["a"], answer["c"]) == (1 / 8, 1 / 4)
    assert isinstance(answer["b"], Failed)
    assert isinstance(answer["b"].error, ZeroDivisionError)
    place = ROWS.encode().index(b"b,,")
    assert answer["b"].error.__notes__ == [f"raised by row() for the row at byte {place} of {source._path}"]


@one_backend
@settings(max_examples=50)
@given(
    rows=st.dictionaries(any_key, st.tuples(any_text, any_text), max_size=8),
    ending=st.sampled_from(["\n", "\r\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
    last=st.booleans(),
    limit=st.integers(1, 5),
)
async def test_what_csv_wrote_comes_back(scratch, rows, ending, mark, last, limit):
    buffer = io.StringIO(newline="")
    # With another line end than its own, the writer leaves a CR unquoted.
    quoting = csv.QUOTE_MINIMAL if ending == "\r\n" else csv.QUOTE_ALL
    writer = csv.writer(buffer, lineterminator=ending, quoting=quoting)
    writer.writerows([("key", "one", "two"), *((key, *cells) for key, cells in rows.items())])
    text = buffer.getvalue() if last else buffer.getvalue().removesuffix(ending)
    scratch.write_bytes((mark + text).encode())
    async with FileSource(scratch, key="key") as source:
        found = await everything(source, limit)
        assert found == {key: {"one": one, "two": two} for key, (one, two) in rows.items()}
        assert list(found) == list(rows)


@one_backend
@settings(max_examples=50)
@given(rows=st.dictionaries(any_key, json_values, min_size=1, max_size=8), raw=st.booleans())
async def test_what_json_wrote_comes_back(scratch, rows, raw):
    lines = [json.dumps({"v": value, "k": key}, ensure_ascii=not raw) for key, value in rows.items()]
    scratch.write_bytes("\n".join(lines).encode())
    async with FileSource(scratch, key="k", value="v") as source:
        found = await everything(source, 3)
        assert found == rows
        assert list(found) == list(rows)


@one_backend
@settings(max_examples=50)
@given(keys=st.lists(st.integers(), unique=True, max_size=20), asked=st.lists(st.integers(), max_size=20))
async def test_keys_may_be_whole_numbers(scratch, keys, asked):
    scratch.write_text("id,v\n" + "".join(f"{key},{key}\n" for key in keys))
    async with FileSource(scratch, key="id", key_type=int, value="v") as source:
        assert await everything(source) == {key: str(key) for key in keys}
        assert set(await source.load_many([*dict.fromkeys(asked)])) == set(asked) & set(keys)


@one_backend
@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99)), max_size=12),
    duplicates=st.sampled_from(["first", "last"]),
    limit=st.integers(1, 3),
)
async def test_of_a_repeated_key_the_first_or_the_last_row_counts(scratch, rows, duplicates, limit):
    scratch.write_text("id,v\n" + "".join(f"{key},{value}\n" for key, value in rows))
    expected = dict(rows) if duplicates == "last" else dict(rows[::-1])
    async with FileSource(scratch, key="id", value="v", duplicates=duplicates) as source:
        pages = await pages_of(source, limit)
        assert sorted(key for page in pages for key in page) == sorted(expected)
        assert await everything(source) == {key: str(value) for key, value in expected.items()}


async def test_a_key_of_another_type_is_not_found(written):
    async with FileSource(written("id,v\n1,x\n2,y\n"), key="id", key_type=int) as source:
        assert await source.load_many(["1", 2.0, None, (1,), 2]) == {2: {"v": "y"}}
    async with FileSource(written("id,v\n1,x\n"), key="id") as source:
        assert await source.load_many([1, b"1", "\ud800"]) == {}


async def test_two_keys_with_one_hash_are_told_apart(written, monkeypatch):
    monkeypatch.setattr(
        "async_backfill.sources._rows.row_parts.KeyType.digest", lambda _, key: len(key or "") or None
    )
    async with FileSource(written("id,v\na,1\nb,2\ncc,3\nd,4\n"), key="id", value="v") as source:
        assert await everything(source) == {"a": "1", "b": "2", "cc": "3", "d": "4"}
        assert await source.load_many(["e", "d", "a"]) == {"a": "1", "d": "4"}


async def test_pages_can_be_asked_for_again_at_any_cursor(written):
    async with FileSource(written(ROWS), key="id") as source:
        first = await source.scan(None, 1)
        assert [(await source.scan(first.cursor, 1)).keys for _ in range(2)] == [("b",)] * 2
        assert await source.scan(None, 3) == Page(("a", "b", "c"), None)


async def test_a_header_without_rows_is_one_empty_page(written):
    async with FileSource(written("id,v\n\n"), key="id") as source:
        assert await pages_of(source, 10) == [[]]
        assert len(source) == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "1: empty, expected CSV with a header, or JSON lines"),
        ("\n\r\n \n"[:3], "1: empty, expected CSV with a header, or JSON lines"),
        ("ident,v\n", '1: no column "id", the nearest is "ident"'),
        ("id,v,v\n", '1: the column "v" appears twice'),
        ('id,v\na,"x\ny"\nb,1,2\n', "4: 3 columns, expected 2 as in the header"),
        ("id,v\na,1\n\n,2\n", '4: "id" is "", expected a key that is text'),
        ('id,v\na,"1\n2\n', "2: not CSV: unexpected end of data"),
        (
            "id,v\ra,1\r",
            "1: not CSV: a line that ends with CR alone, expected LF or CRLF: use tr '\\r' '\\n'",
        ),
        ('id,v\na,"1"2\n', "2: not CSV: ',' expected after '\"'"),
        ('id,v\na,"1\n2"\n\nb,1\na,2\n', '6: the key "a" appears twice, first in line 2' + KEEPS_ONE),
        (b"id,v\na,\xe9\n", "2: not UTF-8 text: byte 7 is 0xe9"),
        ('{"id": "a"}\n\n{"id": "a"}', '3: the key "a" appears twice, first in line 1' + KEEPS_ONE),
        ('{"id": "a"}\n{"id": "b"', "2:11: not JSON: Expecting ',' delimiter"),
        ('{"id": "a"}\n[1]', "2: [1] is not a JSON object"),
        ('{"id": "a", "id": "b"}', '1: the name "id" appears twice'),
        ('{"id": "a"}\n{"ID": "b"}', '2: no column "id", the nearest is "ID"'),
        ('{"id": "a"}\n{"id": 7}', '2: "id" is 7, expected a key that is text, or key_type=int'),
        ('{"id": 7}\n{"id": "a"}', '2: "id" is "a", expected a key that is a whole number, or key_type=str'),
        ('{"id": true}', '1: "id" is true, expected a key that is text'),
        ('{"id": null}', '1: "id" is null, expected a key that is text'),
    ],
)
async def test_a_damaged_file_is_refused_with_its_line(written, content, problem):
    assert await refusal(written(content)) == problem


@pytest.mark.parametrize("key", ["", "x", "1.0", " 1", "1_0", "٣", "--1", "9" * 1001])
async def test_what_is_no_whole_number_is_refused_as_a_key(written, key):
    problem = await refusal(written(f"id,v\n1,1\n{key},2\n"), key_type=int)
    assert problem.startswith('3: "id" is ')
    assert problem.endswith(", expected a key that is a whole number")


async def test_a_number_that_is_text_is_refused_with_a_hint(written):
    expected = '1: "id" is "7", expected a key that is a whole number, or key_type=str'
    assert await refusal(written('{"id": "7"}'), key_type=int) == expected


@pytest.mark.parametrize(
    ("content", "line"),
    [
        pytest.param("id,v\na,1\nb,{x}\nc,1\n", 3, id="CSV"),
        pytest.param('id,v\na,1\nb,"12345\n{x}"\n', 4, id="CSV in two lines"),
        pytest.param("{x},id\na,1\n", 1, id="header"),
        pytest.param('{{"id":"a"}}\n{{"id":"{x}"}}', 2, id="JSON lines"),
    ],
)
async def test_a_row_longer_than_allowed_is_refused_and_one_as_long_is_not(written, content, line):
    path = written(content.format(x="x" * 2000))
    longest = 2000 + len({1: "\n,id", 2: '{"id":""}', 3: "b,\n", 4: 'b,"12345\n"\n'}[line])
    async with FileSource(path, key="id", max_line=longest) as source:
        assert len(source) == len(await everything(source))
    assert (
        await refusal(path, max_line=longest - 1)
        == f"{line}: the row is longer than max_line={longest - 1} bytes"
    )


async def test_a_huge_line_is_refused_without_being_read(tmp_path):
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(b"id,v\na,")
        file.truncate(1 << 30)  # a hole: it takes no disk
    tracemalloc.start()
    problem = await refusal(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problem == "2: the row is longer than max_line=1048576 bytes"
    assert peak < 10_000_000


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda packed: packed[:-4], id="cut off at the end"),
        pytest.param(lambda packed: packed[: len(packed) // 2], id="cut off in the middle"),
        pytest.param(lambda packed: packed[:2], id="nothing but the magic number"),
        pytest.param(lambda packed: packed[:-6] + b"\0\0" + packed[-4:], id="wrong checksum"),
        pytest.param(lambda packed: packed[:12] + b"\xff\xff\xff\xff" + packed[16:], id="wrong data"),
        pytest.param(lambda packed: packed + b"more", id="something after it"),
    ],
)
async def test_damaged_gzip_is_refused(written, damage):
    rows = "id,v\n" + "".join(f"{number},{number * number}\n" for number in range(1000))
    problem = await refusal(written(damage(gzip.compress(rows.encode()))))
    assert problem.startswith("the gzip data is cut off or damaged: ")


async def test_a_decompression_bomb_is_bounded_and_leaves_nothing(written, tmp_path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    bomb = written(gzip.compress(bytes(50_000_000)))
    tracemalloc.start()
    problem = await refusal(bomb, max_unpacked=10_000_000, scratch=folder)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert problem == "unpacks to more than max_unpacked=10000000 bytes"
    assert peak < 5_000_000
    assert list(folder.iterdir()) == []


async def test_as_many_unpacked_bytes_as_allowed_are_read(written):
    path = written(gzip.compress(ROWS.encode()))
    size = len(ROWS.encode())
    async with FileSource(path, key="id", max_unpacked=size) as source:
        assert len(source) == 3
    assert await refusal(path, max_unpacked=size - 1) == f"unpacks to more than max_unpacked={size - 1} bytes"


async def test_what_is_no_file_is_refused(tmp_path):
    assert await refusal(str(tmp_path / "gone")) == "cannot be read: no such file or directory"
    assert await refusal(str(tmp_path)) == "cannot be read: is a directory"
    with pytest.raises(ScenarioError, match="cannot be read: embedded null byte"):
        await FileSource("a\0b", key="id").open()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"key": 3}, "key: must be the name of a column, not 3"),
        ({"value": b"v"}, "value: must be the name of a column, not b'v'"),
        ({"value": "v", "row": dict}, "row: cannot be set with value: each makes the value of a row"),
        (
            {"key_type": float},
            "key_type: must be one of str, int, UUID, date, Decimal, or None, not <class 'float'>",
        ),
        ({"duplicates": "any"}, "duplicates: must be one of 'refuse', 'first', 'last', not 'any'"),
        ({"on_change": "panic"}, "on_change: must be one of 'refuse', 'reindex', not 'panic'"),
        ({"max_line": 0}, "max_line: 0 is less than 1"),
        ({"max_line": 1 << 32}, "max_line: must be at most 4294967295, not 4294967296"),
        ({"max_unpacked": 1.5}, "max_unpacked: 1.5 is not a whole number (a float)"),
    ],
)
def test_a_setting_that_is_wrong_is_refused(wrong, message):
    with pytest.raises(ConfigurationError) as refused:
        FileSource("rows", **{"key": "id", **wrong})
    assert str(refused.value) == message


async def test_it_is_used_only_while_it_is_open(written):
    path = written(gzip.compress(ROWS.encode()))
    source = FileSource(path, key="id")
    message = f"{path}: the source is not open: use it inside 'async with'"
    for _ in range(2):
        for use in (source.load_many(["a"]), source.scan(None, 1)):
            with pytest.raises(LoadError) as refused:
                await use
            assert str(refused.value) == message
        async with source:
            assert await everything(source) == TABLE
    await source.aclose()


def replace(path, content: bytes) -> None:
    beside = Path(f"{path}.new")
    beside.write_bytes(content)
    beside.replace(path)


def write_in_place(path, content: bytes) -> None:
    with Path(path).open("r+b") as file:
        file.write(content)
        file.truncate()
    found = Path(path).stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


def damage_without_a_trace(path, content: bytes) -> None:
    found = Path(path).stat()
    Path(path).write_bytes(content)
    os.truncate(path, found.st_size)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


CHANGES = [
    pytest.param(lambda path: replace(path, b"id,v\na,2\n"), "another file is in its place", id="replaced"),
    pytest.param(lambda path: write_in_place(path, b"id,v\na,2\n"), "it was written to", id="written to"),
    pytest.param(
        lambda path: write_in_place(path, b"id,v\na,2\nb,3\n"), "it has 13 bytes, not 9", id="longer"
    ),
    pytest.param(os.unlink, "it is no longer there", id="gone"),
]


@pytest.mark.parametrize(("change", "how"), CHANGES)
async def test_a_file_that_changed_is_not_answered_from(written, change, how):
    path = written(b"id,v\na,1\n")
    async with FileSource(path, key="id") as source:
        assert await source.load_many(["a"]) == {"a": {"v": "1"}}
        change(path)
        hint = "open the source again, or set on_change='reindex'"
        for use in (source.load_many(["a"]), source.scan(None, 1)):
            with pytest.raises(LoadError) as refused:
                await use
            assert str(refused.value) == f"{path}: changed since it was indexed: {how}; {hint}"


async def test_what_was_unpacked_is_not_answered_from_once_the_file_changed(written):
    path = written(gzip.compress(b"id,v\na,1\n"))
    async with FileSource(path, key="id") as source:
        replace(path, gzip.compress(b"id,v\na,2\n"))
        with pytest.raises(LoadError, match="another file is in its place"):
            await source.load_many(["a"])


@pytest.mark.parametrize("change", [pytest.param(case.values[0], id=case.id) for case in CHANGES[:3]])
async def test_a_file_that_changed_is_indexed_again_if_asked(written, change):
    path = written(b"id,v\na,1\n")
    async with FileSource(path, key="id", value="v", on_change="reindex") as source:
        assert await source.load_many(["a"]) == {"a": "1"}
        change(path)
        assert await source.load_many(["a"]) == {"a": "2"}


async def test_a_packed_file_that_changed_is_unpacked_again_and_the_old_content_is_gone(written):
    path = written(gzip.compress(b"id,v\na,1\n"))
    async with FileSource(path, key="id", value="v", on_change="reindex") as source:
        old = source._indexed._content
        replace(path, gzip.compress(b"id,v\na,2\n"))
        assert await source.load_many(["a"]) == {"a": "2"}
        assert old._file.closed


@pytest.mark.parametrize(
    ("content", "damaged"),
    [(b"id,v\na,1\n", b'id,v\n"a,1'), (b"id,v\na,1\n", b"id,v\na,\xff\n"), (b'{"id":"a"}', b'{"id":"a"]')],
)
async def test_a_row_that_was_damaged_without_a_trace_is_an_error(written, content, damaged):
    path = written(content)
    async with FileSource(path, key="id") as source:
        damage_without_a_trace(path, damaged)
        start = 5 if content.startswith(b"id") else 0
        with pytest.raises(LoadError) as refused:
            await source.load_many(["a"])
        assert str(refused.value) == f"{path}: byte {start}: the row that was indexed is no longer there"
        with pytest.raises(LoadError) as refused:
            await source.scan(None, 10)
        assert str(refused.value) == f"{path}: byte {start}: the rows that were indexed are no longer there"


async def test_a_scan_starts_again_in_a_file_that_was_indexed_again(written):
    path = written(b"id,v\na,1\nb,2\nc,3\n")
    async with FileSource(path, key="id", on_change="reindex") as source:
        page = await source.scan(None, 2)
        replace(path, b"id,v\nlonger,1\nd,2\n")
        assert (await source.scan(page.cursor, 2)).keys == ("longer", "d")


async def test_a_change_to_a_damaged_file_is_an_error_until_it_is_whole(written):
    path = written(b"id,v\na,1\n")
    async with FileSource(path, key="id", value="v", on_change="reindex") as source:
        replace(path, b"id,v\na,1\na,2\n")
        with pytest.raises(LoadError) as refused:
            await source.load_many(["a"])
        assert str(refused.value) == (
            f'{path}:3: the key "a" appears twice, first in line 2{KEEPS_ONE} (indexed again after a change)'
        )
        replace(path, b"id,v\na,3\n")
        assert await source.load_many(["a"]) == {"a": "3"}


async def test_many_who_find_a_change_index_it_once(written):
    path = written(b"id,v\na,1\n")
    made = []
    async with FileSource(path, key="id", value="v", on_change="reindex") as source:
        index = source._index
        source._index = lambda: made.append(1) or index()
        replace(path, b"id,v\na,2\n")
        async with create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(source.load_many, ["a"])
        assert await source.load_many(["a"]) == {"a": "2"}
    assert made == [1]


async def test_a_file_that_changes_all_the_time_is_an_error(written):
    path = written(b"id,v\na,1\n")
    async with FileSource(
        path, key="id", on_change="reindex", row=lambda _: replace(path, b"id\na\n")
    ) as source:
        with pytest.raises(LoadError) as refused:
            await source.load_many(["a"])
    assert str(refused.value) == f"{path}: changed 3 times while it was read"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_a_cancelled_opening_ends_at_once_and_leaves_nothing(written, tmp_path, pack):
    rows = "id,v\n" + "".join(f"{number},\n" for number in range(30_000))
    path = written(pack(rows.encode()))
    folder = tmp_path / "unpacked"
    folder.mkdir()
    source = FileSource(path, key="id", scratch=folder)
    with move_on_after(0) as scope:
        await source.open()
    assert scope.cancelled_caught
    assert list(folder.iterdir()) == []
    with pytest.raises(LoadError, match="not open"):
        len(source)


async def test_a_closed_source_has_no_temporary_file(written, tmp_path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    source = await FileSource(written(gzip.compress(ROWS.encode())), key="id", scratch=folder).open()
    content = source._indexed._content
    await source.aclose()
    assert content._file.closed
    assert list(folder.iterdir()) == []


async def test_many_loads_at_once_of_what_was_unpacked_do_not_disturb_each_other(written):
    rows = {f"{number}": f"{number * number}" for number in range(2000)}
    text = "id,v\n" + "".join(f"{key},{value}\n" for key, value in rows.items())
    async with FileSource(written(gzip.compress(text.encode())), key="id", value="v") as source:

        async def load(seed):
            keys = random.Random(seed).sample([*rows], 100)
            for _ in range(5):
                assert await source.load_many(keys) == {key: rows[key] for key in keys}

        async with create_task_group() as tasks:
            for seed in range(8):
                tasks.start_soon(load, seed)


@one_backend
async def test_memory_is_bounded_by_the_index_and_the_page(tmp_path):
    path = tmp_path / "rows"
    count, width = 40_000, 200
    with path.open("w") as file:
        file.write("id,v\n")
        file.writelines(f"{number:010d},{'x' * (width - 12)}\n" for number in range(count))

    async def peak_of(use):
        gc.collect()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        result = await use
        return result, tracemalloc.get_traced_memory()[1] - before

    await to_thread.run_sync(int)
    tracemalloc.start()
    try:
        source, opening = await peak_of(FileSource(path, key="id").open())
        kept = tracemalloc.get_traced_memory()[0]
        _, loading = await peak_of(source.load_many([f"{number:010d}" for number in range(0, count, 400)]))
        _, scanning = await peak_of(scan_pages(source, 20))
    finally:
        tracemalloc.stop()
        await source.aclose()
    assert kept < 40 * count
    assert opening < 60 * count
    assert loading < 10 * 500 * width
    assert scanning < 2_000_000


async def scan_pages(source, count):
    cursor = None
    for _ in range(count):
        page = await source.scan(cursor, 1000)
        cursor = page.cursor
        assert len(page.keys) == 1000


async def test_a_cache_reads_through_it_and_is_filled_by_a_scan_of_it(written):
    rows = {f"key {number}": f"{number}" for number in range(100)}
    path = written("id,v\n" + "".join(f"{key},{value}\n" for key, value in rows.items()))
    async with (
        FileSource(path, key="id", value="v") as source,
        BackfillCache(source, scan=source, backfill_batch=40) as cache,
    ):
        assert await cache.get("key 99") == "99"
        assert await cache.get("nobody", None) is None
        await cache.force_backfill()
        assert [cache.peek(f"key {number}") for number in range(40)] == [f"{number}" for number in range(40)]
