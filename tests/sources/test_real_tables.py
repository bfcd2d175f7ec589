"""Tables as they are found: any delimiter, comments, no header, JSON arrays, keys that are there twice."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill.errors import ConfigurationError, ScenarioError
from async_backfill.sources._rows.tables import TableRules, read_table
from async_backfill.sources.file import FileSource
from tests.one_loop import anyio_backend  # noqa: F401 - a fixture

pytestmark = pytest.mark.anyio

WANTED = {"a": {"price": "0,99", "unit": "kg"}, "b": {"price": "1", "unit": ""}}
COLUMNS = ["id", "price", "unit"]
cells = st.text(st.sampled_from('ab,;|\t"# \n'), max_size=5)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("tables") / "file"


async def by_file(path, **settings):
    async with FileSource(path, **settings) as source:
        keys = (await source.scan(None, 1000)).keys
        found = await source.load_many(keys)
        return {key: found[key] for key in keys}


async def by_both(path, content: str, columns=None, duplicates="refuse", **settings):
    """What a table in memory and a file on disk both find, in the same order."""
    path.write_bytes(content.encode())
    table = await read_table(path, rules=TableRules(columns=columns, duplicates=duplicates), **settings)
    file = await by_file(path, columns=columns, duplicates=duplicates, **settings)
    assert list(table.items()) == list(file.items())
    return table


@pytest.mark.parametrize(
    "content",
    [
        'id,price,unit\na,"0,99",kg\nb,1,\n',
        "id;price;unit\r\na;0,99;kg\r\nb;1;\r\n",
        "id\tprice\tunit\na\t0,99\tkg\nb\t1\t\n",
        "id|price|unit\na|0,99|kg\nb|1|\n",
        "sep=;\nid;price;unit\na;0,99;kg\nb;1;\n",
        '"sep=^"\nid^price^unit\na^0,99^kg\nb^1^\n',
        "\ufeffsep=\t\r\nid\tprice\tunit\r\na\t0,99\tkg\r\nb\t1\t\r\n",
        "# prices, in euro\n#\n\nid;price;unit\na;0,99;kg\nb;1;\n",
    ],
)
async def test_the_cells_of_a_table_may_be_separated_in_many_ways(path, content):
    assert await by_both(path, content, key="id") == WANTED


@pytest.mark.parametrize(
    "content",
    ["#id\tv\na\t1\n", "# by us\n#id,v\na,1\n", "#id;v\n\n\na;1\n"],
    ids=["tab", "comma", "semicolon"],
)
async def test_a_header_may_begin_with_the_sign_of_a_comment(path, content):
    assert await by_both(path, content, key="#id", value="v") == {"a": "1"}


async def test_a_delimiter_in_a_cell_does_not_hide_the_one_of_the_header(path):
    assert await by_both(path, "id;a,b;c\nx;1,2;3\n", key="id", value="c") == {"x": "3"}
    assert await by_both(path, "id;a,b,d;c\nx;1,2;3\n", key="id", value="c") == {"x": "3"}
    assert await by_both(path, "id,a|b,c\nx,1|2,3\n", key="id", value="c") == {"x": "3"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@given(rows=st.dictionaries(st.text("abc", min_size=1), st.tuples(cells, cells), min_size=1, max_size=5))
async def test_what_csv_wrote_with_any_delimiter_comes_back(path, delimiter, rows):
    buffer = io.StringIO(newline="")
    table = [("id", "v", "w"), *((key, *values) for key, values in rows.items())]
    csv.writer(buffer, delimiter=delimiter).writerows(table)
    expected = {key: {"v": v, "w": w} for key, (v, w) in rows.items()}
    assert await by_both(path, buffer.getvalue(), key="id") == expected


@pytest.mark.parametrize(
    "content",
    [
        'a,"0,99",kg\nb,1,\n',
        "a;0,99;kg\nb;1;\n",
        "# a comment\n# another\na\t0,99\tkg\nb\t1\n",
        "sep=;\na;0,99;kg\nb;1\n",
    ],
)
async def test_columns_name_those_of_a_table_without_a_header(path, content):
    assert await by_both(path, content, key="id", columns=COLUMNS) == WANTED


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a,1,2\nb,1,2,3\n", "2: 4 columns, expected 3"),
        ("# only\n", "1: empty, expected CSV"),
        ('{"id": "a"}\n', " is JSON, which names its columns itself: leave out columns"),
    ],
)
async def test_a_table_that_columns_do_not_fit_is_refused(path, content, problem):
    path.write_text(content, "utf-8")
    for reading in (
        read_table(path, key="id", rules=TableRules(columns=COLUMNS)),
        by_file(path, key="id", columns=COLUMNS),
    ):
        with pytest.raises(ScenarioError) as refused:
            await reading
        assert str(refused.value).startswith(f"{path}:{problem}")


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("id", "must be names of columns"),
        (["id", 7], "must be names of columns"),
        (["id", "id"], "names one column twice"),
        (["v"], "does not have the column 'id'"),
    ],
)
def test_columns_that_cannot_be_those_of_a_table_are_refused(columns, problem):
    with pytest.raises(ConfigurationError, match=f"columns: {problem}"):
        FileSource("x", key="id", columns=columns)


@pytest.mark.parametrize(
    "content", ["id,v\na,1\nb,2\na,3\n", '{"id":"a","v":"1"}\n{"id":"b","v":"2"}\n{"id":"a","v":"3"}']
)
async def test_a_key_that_is_there_twice_has_its_first_or_its_last_row(path, content):
    first = await by_both(path, content, key="id", value="v", duplicates="first")
    assert list(first.items()) == [("a", "1"), ("b", "2")]
    last = await by_both(path, content, key="id", value="v", duplicates="last")
    assert list(last.items()) == [("b", "2"), ("a", "3")]


@pytest.mark.parametrize("row", ["id\n{}\n{}", '{{"id": "{}"}}\n{{"id": "{}"}}'])
@pytest.mark.parametrize(
    ("kind", "key"),
    [
        (UUID, "12345678-1234-5678-1234-56781234567a"),
        (date, "2026-03-01"),
        (Decimal, "1.5"),
    ],
)
async def test_a_key_of_any_type_that_repeats_is_refused_in_one_line(path, row, kind, key):
    path.write_text(row.format(key, key))
    for read in (read_table, by_file):
        with pytest.raises(ScenarioError, match=rf'\d: the key "{key}" appears twice, first in line \d: dup'):
            await read(path, key="id", key_type=kind)


async def test_a_table_of_lines_that_end_with_cr_alone_is_read(path):
    path.write_bytes(b"# by us\rid;v\ra;1\rb;2\r")
    assert await read_table(path, key="id", value="v") == {"a": "1", "b": "2"}


@given(
    rows=st.dictionaries(
        st.text('ab[]{},"\\é', min_size=1),
        st.recursive(
            st.none() | st.integers() | cells,
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(cells, inner, max_size=2),
            max_leaves=4,
        ),
        max_size=4,
    ),
    indent=st.sampled_from([None, 0, 2]),
    before=st.sampled_from(["", "\n ", "\ufeff"]),
)
async def test_a_json_array_is_a_table(path, rows, indent, before):
    objects = [{"id": key, "v": value} for key, value in rows.items()]
    path.write_bytes((before + json.dumps(objects, indent=indent)).encode())
    assert await read_table(path, key="id", value="v") == rows


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('[{"id": "a"},\n {"id": "b"}', "2: not JSON: expected a comma or ] after the object"),
        ('[{"id": "a"},\n\n]', "3:1: not JSON: Expecting value"),
        ('[{"id": "a"}\n {"id": "b"}]', "2: not JSON: expected a comma or ] after the object"),
        ('[{"id": "a"},\n 7]', "2: 7 is not a JSON object"),
        ('[{"id": "a"},\n {"id": "a"}]', '2: the key "a" appears twice, first in line 1'),
        ('[{"id": "a"},\n {"ID": "b"}]', '2: no column "id", the nearest is "ID"'),
        ('[{"id": "a", "id": "b"}]', '1: the name "id" appears twice'),
        ('[{"id": "a"}]\nx', "2: not JSON: something follows the array"),
        ('[{"id": "a", "v": ' + "[" * 200 + "]" * 200 + "}]", "1: nested deeper than 100 levels"),
        ('[{"id": "a", "v": "\\ud800"}]', "1: half of a surrogate pair, which is not text"),
        ('[\n {"id": "a",\n  "v": }]', "3:8: not JSON: Expecting value"),
    ],
)
async def test_a_flaw_in_a_json_array_is_refused_with_its_line(path, content, problem):
    path.write_text(content, "utf-8")
    with pytest.raises(ScenarioError) as refused:
        await read_table(path, key="id")
    assert str(refused.value).startswith(f"{path}:{problem}")


async def test_a_json_array_on_disk_is_refused_with_what_reads_it(path):
    path.write_text('[\n{"id": "a"}]', "utf-8")
    with pytest.raises(ScenarioError, match=r"is a JSON array, .*: kind = \"table\" reads it, or jq"):
        await by_file(path, key="id")


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"PAR1\x15\0\x15", 'is a Parquet file, expected text: kind = "file" or ParquetSource reads it'),
        (b"SQLite format 3\0\x10", "is a database of SQLite, expected text"),
        (b"PK\x03\x04\x14", "is a zip archive, as those of Excel are, expected text: unpack it"),
        ("id,v\n".encode("utf-16"), "is UTF-16 text, expected text: use iconv -f UTF-16 -t UTF-8"),
        (b"\x04\x22\x4d\x18", "is packed with LZ4, expected text: unpack it"),
        (b"a/b".ljust(257, b"\0") + b"ustar", "is a tar archive, expected text"),
    ],
)
async def test_a_file_that_is_no_text_is_refused_as_what_it_is(path, begin, what):
    path.write_bytes(begin)
    for reading in (read_table(path, key="id"), by_file(path, key="id")):
        with pytest.raises(ScenarioError) as refused:
            await reading
        assert str(refused.value).startswith(f"{path}: {what}")
