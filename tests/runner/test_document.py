from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from async_backfill._runner.scenario.document import DEEPEST, parse
from async_backfill.errors import ScenarioError

text = st.text(st.characters(exclude_categories=["Cs"]))
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


def refusal(document: str) -> str:
    with pytest.raises(ScenarioError) as refused:
        parse(document, "FILE")
    message = str(refused.value)
    assert "\n" not in message
    return message


@given(document=st.dictionaries(text, plain, max_size=5), indent=st.none() | st.integers(0, 2))
def test_json_comes_back_as_it_was_written(document, indent):
    assert parse(json.dumps(document, indent=indent), "FILE") == document
    assert parse(json.dumps(document, ensure_ascii=False), "FILE") == document


@given(
    document=text
    | st.builds("".join, st.lists(st.sampled_from([*'{}[]":,=.#\n\\ue1-', "NaN", "a", "[[", '""']))),
    brace=st.sampled_from(["", "{", '{"a":']),
)
def test_any_text_is_a_document_or_is_refused_in_one_line(document, brace):
    message = "FILE: "
    try:
        json.dumps(parse(brace + document, "FILE"), allow_nan=False).encode()
    except ScenarioError as error:
        message = str(error)
    assert re.match(r"FILE(:\d+:\d+)?: ", message)
    assert message.isprintable()


def test_toml_is_told_from_json_by_content():
    assert parse('lookups = ["a"]\n[source]\na = 1\n', "FILE") == {"lookups": ["a"], "source": {"a": 1}}
    assert parse(' \n\t{"lookups": ["a"]}', "FILE") == {"lookups": ["a"]}


def test_toml_dates_and_times_become_text():
    dates = "a = 1979-05-27\nb = 07:32:00\nc = 1979-05-27T07:32:00Z\nd = [1979-05-27T07:32:00.5]"
    assert parse(dates, "FILE") == {
        "a": "1979-05-27",
        "b": "07:32:00",
        "c": "1979-05-27T07:32:00+00:00",
        "d": ["1979-05-27T07:32:00.500000"],
    }


@pytest.mark.parametrize("blank", ["", " ", "\n\n\t"])
def test_an_empty_file_is_called_empty(blank):
    assert refusal(blank) == "FILE: the file is empty, expected a scenario in JSON or TOML"


@pytest.mark.parametrize(
    ("document", "place", "problem"),
    [
        ("{", "1:2", "Expecting property name"),
        ('{"source": {"a": 1},\n "lookups": ["a", b]}', "2:19", "Expecting value"),
        ('{"source": {"a": 1}', "1:20", "Expecting ',' delimiter"),
        ("{} x", "1:4", "Extra data"),
        ('{"a":\r\n "tab\there"}', "2:6", "Invalid control character"),
    ],
)
def test_a_syntax_error_in_json_has_line_and_column(document, place, problem):
    assert refusal(document).startswith(f"FILE:{place}: not JSON: {problem}")


@pytest.mark.parametrize(
    ("document", "place", "problem"),
    [
        ("a = \n", "1:5", "Invalid value"),
        ("a = 1\nb = [1,\n", "3:1", "Invalid value"),
        ("a = 1\na = 2\n", "2:6", "Cannot overwrite a value"),
        ("a = 1\n[b]\nc = 1\n[b]\n", "4:3", "Cannot declare"),
        ("a = 1979-02-30\n", "1:5", "Invalid date"),
    ],
)
def test_a_syntax_error_in_toml_has_line_and_column(document, place, problem):
    assert refusal(document).startswith(f"FILE:{place}: not TOML: {problem}")


def test_what_is_neither_json_nor_toml_is_told_how_a_scenario_in_json_begins():
    assert refusal("hello").endswith("(a scenario in JSON is an object, from its first brace on)")
    assert refusal('["a", "b"]').endswith("(a scenario in JSON is an object, from its first brace on)")
    assert "JSON" not in refusal("a = 1\nb =\n")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"lookups": [], "lookups": []}', "FILE: $.lookups: appears twice"),
        ('{"source": {"a": 1, "a": 1}}', "FILE: $.source.a: appears twice"),
        ('{"source": {"a": [0, {"b c": 1, "b c": 2}]}}', 'FILE: $.source.a[1]["b c"]: appears twice'),
    ],
)
def test_a_name_that_is_there_twice_is_refused(document, message):
    assert refusal(document) == message


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        ("NaN", "NaN is not a JSON number"),
        ("-Infinity", "-Infinity is not a JSON number"),
        ("1e999", "1e999 is not a finite number"),
        ("1" + "0" * 400 + ".5", "a number is not a finite number"),
        ("9" * 5000, "a whole number of 5000 digits is too long"),
    ],
)
def test_a_number_that_json_or_float_cannot_hold_is_refused_with_its_path(number, problem):
    assert refusal(f'{{"source": {{"a": [1, {number}]}}}}') == f"FILE: $.source.a[1]: {problem}"


@pytest.mark.parametrize(
    ("number", "message"),
    [
        ("nan", "FILE: $.a: nan is not a finite number"),
        ("-inf", "FILE: $.a: -inf is not a finite number"),
        ("1e999", "FILE: $.a: 1e999 is not a finite number"),
    ],
)
def test_toml_knows_no_such_number_either(number, message):
    assert refusal(f"a = {number}") == message


def test_a_toml_integer_of_thousands_of_digits_is_refused():
    assert refusal(f"a = {'9' * 5000}").startswith("FILE: not TOML: ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (r'{"a": "\ud800"}', r'FILE: $.a: "\ud800" holds half of a surrogate pair'),
        (r'{"a": {"\udfff": 1}}', r'FILE: $.a["\udfff"]: "\udfff" holds half of a surrogate pair'),
        (r'{"\udfff": 1}', r'FILE: $["\udfff"]: "\udfff" holds half of a surrogate pair'),
    ],
)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(document, message):
    assert refusal(document) == message


def test_a_whole_surrogate_pair_is_a_character():
    assert parse(r'{"a": "\ud83d\ude00"}', "FILE") == {"a": "\U0001f600"}


def nested_json(levels: int) -> str:
    return '{"a":' + "[" * (levels - 1) + "]" * (levels - 1) + "}"


def test_the_deepest_allowed_nesting_is_read():
    assert json.dumps(parse(nested_json(DEEPEST), "FILE")).count("[") == DEEPEST - 1


@pytest.mark.parametrize("levels", [DEEPEST + 1, 1000, 100_000])
def test_deeper_nesting_is_refused(levels):
    assert refusal(nested_json(levels)).endswith(f"nested deeper than {DEEPEST} levels")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("a = " + "[" * 5000 + "]" * 5000, id="lists"),
        pytest.param("a = " + "[" * 150 + "]" * 150, id="few lists"),
        pytest.param(".".join("a" * 2000) + " = 1", id="dotted name"),
    ],
)
def test_deep_nesting_in_toml_is_refused_as_well(document):
    assert refusal(document).endswith(f"nested deeper than {DEEPEST} levels")


def test_the_first_of_several_flaws_is_the_one_reported():
    assert refusal('{"a": NaN, "b": 1e999}') == "FILE: $.a: NaN is not a JSON number"


@pytest.mark.parametrize(
    "document",
    [
        "a" + ".a" * 50_000 + " = 1",
        "[" + '"a" . ' * 50_000 + "a]",
        "a = {" + "b." * 50_000 + "c = 1}",
        "a = " + "[" * 50_000,
    ],
    ids=["a dotted key", "a header", "a table on one line", "lists"],
)
def test_deep_toml_is_refused_before_it_takes_time_by_its_square(document):
    assert refusal(document) == f"FILE: nested deeper than {DEEPEST} levels"


@pytest.mark.parametrize("begin", ["'", '"', '"""', "'''", "a", "-", 'x = "\\"', "x = 'a"])
def test_what_is_never_closed_in_toml_is_read_once(begin):
    assert "not TOML" in refusal(begin * 30_000)


@pytest.mark.parametrize("quote", ["'", '"', '"""', "'''"])
def test_dots_in_text_and_comments_of_toml_are_no_nesting(quote):
    dots = "a." * 200
    assert parse(f"a = {quote}{dots}{quote} # {dots}\n", "FILE") == {"a": dots}
