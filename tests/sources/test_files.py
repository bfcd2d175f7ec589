from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from async_backfill.errors import ScenarioError
from async_backfill.sources._rows import tables
from async_backfill.sources._rows.tables import read_table, read_text
from benchmarks.key_files import read_keys

pytestmark = pytest.mark.asyncio

ROWS = 'id,name,note\na,Widget A,"two\nlines"\nb,,"say ""b"""\n'
TABLE = {"a": {"name": "Widget A", "note": "two\nlines"}, "b": {"name": "", "note": 'say "b"'}}

KEEPS_ONE = ': duplicates = "first" or "last" keeps one'
WHOLE = " (expected one whole object a line, or an array of objects)"
RAISES = ", which csv.field_size_limit() raises; or a quote is not closed"

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
key_lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\ufeff"), min_size=1)


@pytest.fixture
def written(tmp_path):
    """Write content to a file and return its path."""

    def write(content: str | bytes, name: str = "file") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """One file for a hundred generated contents."""
    return tmp_path_factory.mktemp("scratch") / "file"


async def refusal(reading, path: str) -> str:
    """What is wrong with the file at ``path``: the message without the name it begins with."""
    with pytest.raises(ScenarioError) as refused:
        await reading
    message = str(refused.value)
    assert message.startswith(f"{path}:")
    assert message.isprintable()
    return message.removeprefix(f"{path}:").strip()


@given(content=text)
async def test_text_is_read_as_it_is_plain_or_packed(scratch, content):
    expected = content.removeprefix("\ufeff")
    for packed in (content.encode(), gzip.compress(content.encode())):
        scratch.write_bytes(packed)
        assert await read_text(scratch) == expected


async def test_a_byte_order_mark_is_not_part_of_the_text(written):
    assert await read_text(written(b"\xef\xbb\xbfa")) == "a"
    assert await read_text(written(gzip.compress(b"\xef\xbb\xbfa"))) == "a"


async def test_a_missing_file_is_refused(tmp_path):
    path = str(tmp_path / "missing")
    assert await refusal(read_text(path), path) == "cannot be read: no such file or directory"


async def test_a_folder_is_refused(tmp_path):
    assert await refusal(read_text(str(tmp_path)), str(tmp_path)) == "cannot be read: is a directory"


async def test_a_name_that_no_file_can_have_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be read: embedded null byte"):
        await read_text("a\0b")
    path = str(tmp_path / ("a" * 5000))
    assert await refusal(read_text(path), path) == "cannot be read: file name too long"


async def test_bytes_that_are_not_utf_8_are_refused_with_line_and_byte(written):
    path = written(b"a\nb\nc\xe9\n")
    assert await refusal(read_text(path), path) == "3: not UTF-8 text: byte 5 is 0xe9"


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(lambda packed: packed[:-4], id="cut off at the end"),
        pytest.param(lambda packed: packed[:12], id="cut off at the start"),
        pytest.param(lambda packed: packed[:2], id="nothing but the magic number"),
        pytest.param(lambda packed: packed[:-6] + b"\0\0" + packed[-4:], id="wrong checksum"),
        pytest.param(lambda packed: packed[:12] + b"\xff\xff\xff\xff" + packed[16:], id="wrong data"),
        pytest.param(lambda packed: packed + b"more", id="something after it"),
    ],
)
async def test_damaged_gzip_is_refused(written, damaged):
    path = written(damaged(gzip.compress(b"a\nb\n" * 1000)))
    assert (await refusal(read_keys(path), path)).startswith("the gzip data is cut off or damaged: ")


async def test_a_small_file_that_unpacks_to_too_much_is_refused_with_the_limit(written, monkeypatch):
    monkeypatch.setattr(tables, "MOST_UNPACKED", 1_000_000)
    members = gzip.compress(b"a\n" * 500) * 1000
    assert await read_text(written(members)) == "a\n" * 500_000
    path = written(members + gzip.compress(b"a"))
    expected = "unpacks to more than 1,000,000 bytes, which must fit into memory"
    assert await refusal(read_keys(path), path) == expected
    assert await refusal(read_table(path, key="a"), path) == expected


@given(keys=st.lists(key_lines), ending=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
async def test_a_key_file_gives_its_lines_in_order(scratch, keys, ending, last):
    scratch.write_bytes((ending.join(keys) + (ending if last else "")).encode())
    assert await read_keys(scratch) == keys


async def test_keys_may_repeat_and_only_line_ends_separate_them(written):
    assert await read_keys(written("a\na\n b\u2028c\x0b\n")) == ["a", "a", " b\u2028c\x0b"]


@pytest.mark.parametrize("content", ["", "\n", "\n\n\r\n"])
async def test_a_key_file_without_keys_is_an_empty_list(written, content):
    assert await read_keys(written(content)) == []


@pytest.mark.parametrize(("content", "line"), [("a\n\nb\n", 2), ("\na\n", 1), ("a\r\nb\r\n\r\nc", 3)])
async def test_a_blank_line_between_keys_is_refused(written, content, line):
    path = written(content)
    assert await refusal(read_keys(path), path) == f"{line}: the line is blank, expected a key"


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_a_csv_table_maps_each_key_to_its_other_columns(written, pack):
    path = written(pack(ROWS.encode()))
    assert await read_table(path, key="id") == TABLE
    assert list(await read_table(path, key="id")) == ["a", "b"]


async def test_one_column_may_be_the_value(written):
    path = written(ROWS)
    assert await read_table(path, key="id", value="name") == {"a": "Widget A", "b": ""}
    assert await read_table(path, key="id", value="id") == {"a": "a", "b": "b"}


@settings(max_examples=50)
@given(rows=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), text, max_size=6))
async def test_what_csv_wrote_comes_back(scratch, rows):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([("key", "value"), *rows.items()])
    scratch.write_bytes(buffer.getvalue().encode())
    assert await read_table(scratch, key="key", value="value") == rows


@settings(max_examples=50)
@given(
    rows=st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers()
            | st.floats(allow_nan=False, allow_infinity=False)
            | text,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
            max_leaves=5,
        ),
        min_size=1,
        max_size=6,
    ),
    ascii_only=st.booleans(),
)
async def test_what_json_wrote_comes_back(scratch, rows, ascii_only):
    lines = [json.dumps({"key": key, "value": rows[key]}, ensure_ascii=ascii_only) for key in rows]
    scratch.write_bytes("\n".join(lines).encode())
    assert await read_table(scratch, key="key", value="value") == rows


async def test_blank_lines_in_a_table_mean_nothing(written):
    assert await read_table(written("\nid,n\n\na,1\n\n"), key="id", value="n") == {"a": "1"}
    assert await read_table(written('\n{"id": "a", "n": 1}\n\n'), key="id", value="n") == {"a": 1}


async def test_a_table_may_have_no_rows(written):
    assert await read_table(written("id,n\n"), key="id") == {}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "1: empty, expected CSV with a header, or JSON lines"),
        ("\n\n", "1: empty, expected CSV with a header, or JSON lines"),
        ("id,id\na,1\n", '1: the column "id" appears twice'),
        ("id,n\na,1\nb\n", "3: 1 columns, expected 2 as in the header"),
        ("id,n\na,1\nb,2,3\n", "3: 3 columns, expected 2 as in the header"),
        ('id,n\na,"1\n2"\nb\n', "4: 1 columns, expected 2 as in the header"),
        ('id,n\n"a,1\n', "2: not CSV: unexpected end of data"),
        ('id,n\na,"1"2\n', "2: not CSV: ',' expected after '\"'"),
        ("id,n\na,1\nb,2\na,3\n", '4: the key "a" appears twice, first in line 2' + KEEPS_ONE),
        ("id,n\n,1\n", '2: "id" is "", expected a key that is text'),
        ("n,ids\na,1\n", '1: no column "id", the nearest is "ids"'),
        ("ID,n\na,1\n", '1: no column "id", the nearest is "ID"'),
        ("id,n\na," + "x" * 140_000, "2: not CSV: field larger than field limit (131072)" + RAISES),
    ],
)
async def test_a_flaw_in_csv_is_refused_with_its_line(written, content, problem):
    path = written(content)
    assert await refusal(read_table(path, key="id"), path) == problem


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{", ":2: not JSON: Expecting property name enclosed in double quotes" + WHOLE),
        ('{"id": "b"} x', ":13: not JSON: Extra data"),
        ('["id"]', ': ["id"] is not a JSON object'),
        ('{"id": 2}', ': "id" is 2, expected a key that is text, or key_type=int'),
        ('{"id": null}', ': "id" is null, expected a key that is text'),
        ('{"id": ""}', ': "id" is "", expected a key that is text'),
        ('{"id": "a"}', ': the key "a" appears twice, first in line 1' + KEEPS_ONE),
        ('{"ids": "b"}', ': no column "id", the nearest is "ids"'),
        ("{}", ': no column "id"'),
        ('{"id": "b", "n": 1, "n": 2}', ': the name "n" appears twice'),
        ('{"id": "b", "n": [{"x": 1, "x": 2}]}', ': the name "x" appears twice'),
        ('{"id": "b", "n": NaN}', ": NaN is not a JSON number"),
        ('{"id": "b", "n": 1e999}', ': "1e999" is beyond the range of numbers'),
        (r'{"id": "b", "n": "\ud800"}', ": half of a surrogate pair, which is not text"),
        (r'{"id": "\udfff"}', ": half of a surrogate pair, which is not text"),
        ('{"id": "b", "n": ' + "[" * 100 + "]" * 100 + "}", ": nested deeper than 100 levels"),
        ('{"id": "b", "n": ' + "[" * 100_000 + "]" * 100_000 + "}", ": nested deeper than 100 levels"),
    ],
    ids=lambda value: value[:30],
)
async def test_a_flaw_in_json_lines_is_refused_with_its_line(written, row, problem):
    path = written('{"id": "a", "n": 0}\n' + row + "\n")
    assert await refusal(read_table(path, key="id"), path) == f"2{problem}"


async def test_an_integer_of_thousands_of_digits_is_refused(written):
    path = written('{"id": "a", "n": ' + "9" * 5000 + "}")
    assert (await refusal(read_table(path, key="id"), path)).startswith("1: Exceeds the limit")


async def test_the_deepest_allowed_nesting_is_read(written):
    path = written('{"id": "a", "n": ' + "[" * 99 + "]" * 99 + "}")
    assert json.dumps(await read_table(path, key="id")).count("[") == 99


async def test_many_brackets_that_are_not_nested_are_no_nesting(written):
    path = written(json.dumps({"id": "a", "n": [[] for _ in range(300)], "text": "[" * 300}))
    assert (await read_table(path, key="id"))["a"]["text"] == "[" * 300


async def test_a_value_column_that_is_not_there_is_refused_with_the_nearest(written):
    path = written(ROWS)
    problem = await refusal(read_table(path, key="id", value="nam"), path)
    assert problem == '1: no column "nam", the nearest is "name"'
