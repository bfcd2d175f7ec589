"""The keys in the lines of logs."""

from __future__ import annotations

import csv
import io
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.logs import formats
from async_backfill._runner.logs.formats import Column, KeyLines, Matches
from async_backfill._runner.logs.requests import RequestLog
from async_backfill.errors import ConfigurationError, ScenarioError

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'


def keys(text, expected_format=RequestLog):
    return list(expected_format().keys(text)[0])


@pytest.mark.parametrize(
    ("line", "key"),
    [
        (COMMON, "/apache_pb.gif"),
        (
            COMMON + ' "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"',
            "/apache_pb.gif",
        ),
        (COMMON.replace("2326", "-"), "/apache_pb.gif"),
        (COMMON.replace("frank", "Frank N Stein"), "/apache_pb.gif"),
        (COMMON.replace("127.0.0.1", "2001:db8::1"), "/apache_pb.gif"),
        (COMMON.replace("/apache_pb.gif", "/a?b=c%20d&e"), "/a"),
        (COMMON.replace("/apache_pb.gif", '/a?b=\\"c\\"'), "/a"),
        (COMMON.replace("/apache_pb.gif", '/say/\\"hi\\"'), '/say/\\"hi\\"'),
        (COMMON.replace("/apache_pb.gif", "/grüße"), "/grüße"),
        (COMMON.replace("GET", "M-SEARCH").replace("/apache_pb.gif", "*"), "*"),
        (COMMON.replace(" HTTP/1.0", ""), "/apache_pb.gif"),
        (COMMON + "\r", "/apache_pb.gif"),
    ],
)
def test_the_path_of_a_request_is_the_key(line, key):
    assert keys(f"{line}\n{line}") == [key, key]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "started",
        COMMON.replace("GET /apache_pb.gif HTTP/1.0", "-"),
        COMMON.replace("GET /apache_pb.gif HTTP/1.0", "\\x16\\x03\\x01"),
        COMMON.replace("[10", "10"),
        COMMON.replace(" 200 ", " OK "),
        COMMON[: COMMON.index("gif")],
        f"  {COMMON}",
    ],
)
def test_a_line_that_is_no_request_has_no_key_and_takes_none_from_its_neighbours(line):
    assert keys(f"{COMMON}\n{line}\n{line}\n{COMMON}") == ["/apache_pb.gif"] * 2


@pytest.mark.parametrize("part", ["a ", "[", "\\", '"', "\\a", '\\"', '"GET ', "x [a] ", "?"])
def test_no_line_takes_long_to_be_told_from_a_request(part):
    begins = ["", "h i u [t] ", 'h i u [t] "GET /', 'h i u [t] "GET /?']
    assert keys("\n".join(begin + part * 100_000 for begin in begins)) == []


def test_one_key_a_line_is_the_line_as_it_is():
    assert KeyLines().keys("a\r\n b \n\nGrüße\n\u2028\n") == (["a", " b ", "Grüße", "\u2028"], 4)


def test_a_pattern_takes_the_first_match_of_a_line_and_never_goes_beyond_it():
    matches = Matches(r"id=(\d*)\s*(?:,|$)")
    assert matches.keys("id=1, id=2\nid=\nid=3\n4\nno") == (["1", "3"], 5)


def test_a_group_named_key_wins_and_one_that_took_no_part_is_no_key():
    assert Matches(r"(a)(?P<key>b)?").keys("ab\nac") == (["b"], 2)


cells = st.text('ab",\n ', max_size=5)
rows = st.lists(st.tuples(cells, cells, cells), max_size=30)


@given(rows=rows, size=st.integers(1, 50))
def test_a_column_is_read_as_csv_says_wherever_the_blocks_end(rows, size):
    rows = [row for row in rows if "\n\n" not in "".join(row) and not any(c.startswith("\n") for c in row)]
    rows = [row for row in rows if not any(cell.endswith("\n") for cell in row)]
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([("a", "key", "c"), *rows])
    lines = stream.getvalue().split("\n")
    column = Column("t.csv", "key")
    found, count = [], 0
    for start in range(0, len(lines), size):
        block_keys, block_count = column.keys("\n".join(lines[start : start + size]))
        found += block_keys
        count += block_count
    last_keys, last_count = column.rest()

    assert [*found, *last_keys] == [row[1] for row in rows if row[1]]
    assert count + last_count == len(rows)


def test_a_row_of_another_length_or_without_a_key_has_none():
    column = Column("t.csv", "key")
    assert column.keys("key,b\n1,2\n3\n4,5,6\n,7\n8,\n") == (["1", "8"], 5)


def test_a_quote_that_is_not_closed_at_the_end_takes_the_lines_after_it_along():
    column = Column("t.csv", "key")
    assert list(column.keys("key,b\n1,2")[0]) == ["1"]
    assert list(column.keys('3,"four\n5,6')[0]) == []
    assert column.rest() == (["3"], 1)


def test_a_quote_that_is_never_closed_costs_a_few_blocks_and_not_all_that_follow():
    column = Column("t.csv", "key")
    column.keys('key,b\n1,"two')
    block = "\n".join(f"{number},x" for number in range(50_000))
    found = [len(column.keys(block)[0]) for _ in range(20)]

    assert found[0] == 0
    assert found[-3:] == [50_000] * 3


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("a,kee,b", 't.csv:1: no column "key", the nearest is "kee"'),
        ("key,key", 't.csv:1: the column "key" appears twice'),
    ],
)
def test_a_header_that_does_not_name_the_column_once_is_refused(header, problem):
    with pytest.raises(ScenarioError) as refused:
        Column("t.csv", "key").keys(f"{header}\n1,2,3\n")
    assert str(refused.value) == problem


def test_a_table_without_a_header_has_its_key_in_the_column_of_that_number():
    column = Column("t.csv", "2", ";")
    assert column.keys("# comment\n1;a\n2;b;x\n3") == (["a", "b"], 3)


def test_a_column_of_a_number_that_no_row_has_is_refused():
    with pytest.raises(ScenarioError, match=r"t\.csv: has 2 columns, there is none of number 3"):
        Column("t.csv", "3").keys("1,2\n3,4")


def test_the_line_of_a_spreadsheet_that_says_its_delimiter_is_no_row():
    assert Column("t.csv", "id", ";").keys("sep=;\nid;v\n1;2\n") == (["1"], 1)


@pytest.mark.parametrize("pattern", ["(a+)+b", "((?:a|aa)+)b", "(?P<key>(.*)(.*)(.*)(.*)(.*)(.*)b)"])
def test_a_pattern_that_takes_for_ever_is_ended_and_the_line_is_shown(monkeypatch, pattern):
    monkeypatch.setattr(formats, "SECONDS_FOR_A_BLOCK", 0.05)
    line = "a" * 400
    with pytest.raises(
        ConfigurationError, match=r"takes more than 0.05 s for a MiB of lines, and is at \"aaa"
    ):
        Matches(pattern).keys(f"ab\n{line}\nab\n")


def test_a_pattern_that_is_quick_is_not_ended_later(monkeypatch):
    monkeypatch.setattr(formats, "SECONDS_FOR_A_BLOCK", 0.05)
    assert Matches("(a+)").keys("a\nb\n") == (["a"], 2)
    before = time.process_time()
    while time.process_time() < before + 0.1:
        pass
